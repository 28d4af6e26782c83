#include "session_contract.hpp"

#include <algorithm>
#include <string>

#include "text.hpp"
#include "vpp/error.hpp"
#include "vpp/tensor.hpp"

namespace vpp {
namespace {

[[noreturn]] void fail(GraphRole phase, const std::string& problem) {
    throw BundleError("the " + std::string(name_of(phase)) + " graph " + problem +
                      ", which a video session does not run; export the bundle again");
}

const TensorSpec& output(const Manifest& manifest, GraphRole phase, const std::string& name) {
    const auto& outputs = manifest.graph(phase).outputs;
    const auto found =
        std::find_if(outputs.begin(), outputs.end(), [&name](const TensorSpec& spec) { return spec.name == name; });
    if (found == outputs.end()) {
        fail(phase, "has no output " + name);
    }
    return *found;
}

void require(GraphRole phase, const TensorSpec& found, DType dtype, const Shape& shape) {
    if (found.dtype != dtype || found.shape != shape) {
        fail(phase, "has " + one_line(found.name) + " as " + describe(found.dtype, found.shape) + " instead of " +
                        describe(dtype, shape));
    }
}

void check_inputs(const Manifest& manifest, GraphRole phase) {
    const DetectionSpec& detection = manifest.detection;
    const TensorSpec known[] = {
        {"frame", DType::UInt8, {manifest.frame_size.height, manifest.frame_size.width, 3}},
        {"content_size", DType::Int32, {2}},
        {"track_queries", DType::Float32, {detection.max_tracks, detection.query_width}},
        {"track_valid", DType::Bool, {detection.max_tracks}},
    };
    for (const TensorSpec& input : manifest.graph(phase).inputs) {
        if (input.name == "selection_noise") {
            throw UsageError(manifest.model.name +
                             " takes selection noise, which only the Python package makes; export a bundle without it");
        }
        const auto* spec = std::find_if(std::begin(known), std::end(known),
                                        [&input](const TensorSpec& one) { return one.name == input.name; });
        if (spec == std::end(known)) {
            fail(phase, "has the input " + in_quotes(input.name));
        }
        require(phase, input, spec->dtype, spec->shape);
    }
}

void check_outputs(const Manifest& manifest, GraphRole phase) {
    const TensorSpec& logits = output(manifest, phase, "class_logits");
    const TensorSpec& masks = output(manifest, phase, "mask_logits");
    if (logits.shape.size() != 2 || logits.shape[1] < 2 || masks.shape.size() != 3) {
        fail(phase, "has " + describe(logits.dtype, logits.shape) + " class_logits and " +
                        describe(masks.dtype, masks.shape) + " mask_logits");
    }
    const std::int64_t count = logits.shape[0];
    require(phase, logits, DType::Float32, logits.shape);
    require(phase, masks, DType::Float32, {count, masks.shape[1], masks.shape[2]});
    require(phase, output(manifest, phase, "query_features"), DType::Float32, {count, manifest.detection.query_width});
    require(phase, output(manifest, phase, "query_indices"), DType::Int32, {count});
    require(phase, output(manifest, phase, "candidates"), DType::Int32, {1});
    for (const PruningPoint& point : manifest.pruning_points) {
        if (std::find(point.phases.begin(), point.phases.end(), phase) != point.phases.end()) {
            require(phase, output(manifest, phase, point.output), DType::Int32, {point.kept});
        }
    }
}

}  // namespace

void check_session_contract(const Manifest& manifest) {
    for (const GraphRole phase : {GraphRole::Init, GraphRole::Step}) {
        check_inputs(manifest, phase);
        check_outputs(manifest, phase);
    }
}

}  // namespace vpp
