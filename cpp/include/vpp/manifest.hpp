#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vpp/size.hpp"

namespace vpp {

/// The newest manifest schema that this library reads. Version 2 added model families other than `vpp`, version 3 the
/// task beside the family.
constexpr std::int64_t kSchemaVersion = 3;

enum class DType { Float32, Float16, Int32, UInt8, Bool };

/// The first frame of a video runs the init graph, every later one the step graph.
enum class GraphRole { Init, Step };

/// The name that the manifest uses, e.g. "float32".
const char* name_of(DType dtype);
/// "init" or "step".
const char* name_of(GraphRole phase);

/// Name, dtype and static shape of one graph input or output.
struct TensorSpec {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
};

/// One state tensor: what a frame leaves for the next one. The init graph produces its first value.
struct StateSpec {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::string input;   ///< its name as an input of the step graph
    std::string output;  ///< its name as an output of both graphs
};

/// One phase's graph: its file in the bundle and its inputs and outputs, state tensors excluded.
struct GraphSpec {
    std::string file;
    std::vector<TensorSpec> inputs;
    std::vector<TensorSpec> outputs;
};

/// A place in the network where tokens are selected.
struct PruningPoint {
    std::string name;
    std::int64_t block;             ///< index of the first block that runs on the selected tokens
    std::string output;             ///< graph output with the kept positions `[K]` int32, ascending, row-major
    double keep_ratio;              ///< K / N as configured
    std::int64_t kept;              ///< K
    std::vector<GraphRole> phases;  ///< when it is active
};

/// Constants of the normalisation inside the graph, per RGB channel, in 0..255. Pictures are letterboxed (see
/// `Letterbox`).
struct Preprocessing {
    std::array<double, 3> mean;
    std::array<double, 3> deviation;
};

/// Constants of the query tracker (VPP evaluation configuration).
struct TrackerSpec {
    double new_score = 0.3;     ///< a detection of a learned query needs a score above this
    double track_score = 0.25;  ///< a detection of a track query needs a score above this
    double low_score = 0.3;     ///< an existing track below this keeps the feature that was fed in
    double existing_iou = 0.7;  ///< mask IoU above which the weaker of two existing tracks is suppressed
    double new_iou = 0.4;       ///< mask IoU above which a new detection is suppressed
    std::int64_t max_age = 10;  ///< a track not seen for this many frames is dropped
};

/// Capacities of the detector's outputs and track query inputs.
struct DetectionSpec {
    std::int64_t num_queries;     ///< learned queries; query indices from here on are track slots
    std::int64_t query_width;     ///< channels of a query feature
    std::int64_t max_tracks;      ///< track query slots in the step graph
    std::int64_t max_detections;  ///< candidate queries that leave a graph
};

/// Which model the bundle holds. Its configuration, which only PyTorch needs, is checked to be an object and not kept.
struct ModelSpec {
    std::string name;           ///< e.g. "vpp-small"
    std::string family;         ///< how tokens are pruned, e.g. "vpp"
    std::string task;           ///< what comes out: "segmentation"
    std::string keep_schedule;  ///< of VPP "dense", "0.55", "0.4" or "custom"; of others as the family writes it
    std::string dataset;        ///< the label set, e.g. "youtube-vis-2021"
};

/// Where the weights came from.
struct WeightsProvenance {
    std::string kind;  ///< "checkpoint", "random", "shipped", "pretrained" or "memory"
    std::string name;
};

/// How the bundle was made.
struct Provenance {
    std::string created;
    std::string vpp_deploy;
    std::string torch;
    std::string onnx;
    std::int64_t opset;
    WeightsProvenance weights;
};

/// Size and hash of a file.
struct FileRecord {
    std::int64_t bytes;
    std::string sha256;  ///< 64 lower-case hex digits
};

/// `manifest.json`: the contract between a bundle and whatever runs it.
struct Manifest {
    std::int64_t schema_version;  ///< of the file; every field is as the newest version has it
    ModelSpec model;
    std::string precision = "float32";  ///< what matrix products compute in, e.g. "float16"
    Size frame_size;
    std::int64_t patch_size;
    Size token_grid;
    std::int64_t blocks = 12;  ///< transformer blocks of the backbone
    Preprocessing preprocessing;
    DetectionSpec detection;
    TrackerSpec tracker;
    std::vector<std::string> class_names;
    std::vector<PruningPoint> pruning_points;
    GraphSpec init;
    GraphSpec step;
    std::vector<StateSpec> state;  ///< sorted by input name, and by output name
    std::string weights_file;
    Provenance provenance;
    std::map<std::string, FileRecord> files;

    const GraphSpec& graph(GraphRole phase) const { return phase == GraphRole::Init ? init : step; }
};

/// Read and check a manifest by itself; `Bundle::open` also checks the files that it lists.
///
/// @throws BundleError the file is unreadable or not JSON, has a newer schema or another task than segmentation, or
///     breaks the schema: a field is missing, unknown, or has a wrong type or value. The message names the field by its
///     path.
Manifest read_manifest(const std::filesystem::path& path);

}  // namespace vpp
