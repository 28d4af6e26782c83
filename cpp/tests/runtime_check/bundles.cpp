#include <optional>

#include "arrays.hpp"
#include "vpp/bundle.hpp"
#include "vpp/engine_record.hpp"
#include "vpp/plan_header.hpp"
#include "vpp/plugin_library.hpp"
#include "vpp/sha256.hpp"

namespace vpp::check {
namespace {

Json size_json(Size size) {
    return {size.height, size.width};
}

Json files_json(const std::map<std::string, FileRecord>& files) {
    Json json = Json::object();
    for (const auto& [name, record] : files) {
        json[name] = {{"bytes", record.bytes}, {"sha256", record.sha256}};
    }
    return json;
}

template <class Spec>
Json tensor_json(const Spec& spec) {
    return {{"name", spec.name}, {"dtype", name_of(spec.dtype)}, {"shape", spec.shape}};
}

Json graph_json(const GraphSpec& graph) {
    Json json{{"file", graph.file}, {"inputs", Json::array()}, {"outputs", Json::array()}};
    for (const TensorSpec& spec : graph.inputs) {
        json["inputs"].push_back(tensor_json(spec));
    }
    for (const TensorSpec& spec : graph.outputs) {
        json["outputs"].push_back(tensor_json(spec));
    }
    return json;
}

Json state_json(const StateSpec& spec) {
    Json json = tensor_json(spec);
    json["input"] = spec.input;
    json["output"] = spec.output;
    return json;
}

Json point_json(const PruningPoint& point) {
    Json phases = Json::array();
    for (const GraphRole phase : point.phases) {
        phases.push_back(name_of(phase));
    }
    return {{"name", point.name}, {"block", point.block},           {"output", point.output},
            {"kept", point.kept}, {"keep_ratio", point.keep_ratio}, {"phases", phases}};
}

Json tracker_json(const TrackerSpec& spec) {
    return {{"new_score", spec.new_score},       {"track_score", spec.track_score}, {"low_score", spec.low_score},
            {"existing_iou", spec.existing_iou}, {"new_iou", spec.new_iou},         {"max_age", spec.max_age}};
}

Json manifest_json(const Manifest& manifest) {
    const ModelSpec& model = manifest.model;
    const DetectionSpec& detection = manifest.detection;
    const Provenance& provenance = manifest.provenance;
    Json json{
        {"schema_version", manifest.schema_version},
        {"model",
         {{"name", model.name},
          {"family", model.family},
          {"task", model.task},
          {"keep_schedule", model.keep_schedule},
          {"dataset", model.dataset}}},
        {"precision", manifest.precision},
        {"frame_size", size_json(manifest.frame_size)},
        {"patch_size", manifest.patch_size},
        {"token_grid", size_json(manifest.token_grid)},
        {"blocks", manifest.blocks},
        {"preprocessing", {{"mean", manifest.preprocessing.mean}, {"std", manifest.preprocessing.deviation}}},
        {"detection",
         {{"num_queries", detection.num_queries},
          {"query_width", detection.query_width},
          {"max_tracks", detection.max_tracks},
          {"max_detections", detection.max_detections}}},
        {"tracker", tracker_json(manifest.tracker)},
        {"class_names", manifest.class_names},
        {"pruning_points", Json::array()},
        {"graphs",
         {{"init", graph_json(manifest.graph(GraphRole::Init))},
          {"step", graph_json(manifest.graph(GraphRole::Step))}}},
        {"state", Json::array()},
        {"weights_file", manifest.weights_file},
        {"provenance",
         {{"created", provenance.created},
          {"vpp_deploy", provenance.vpp_deploy},
          {"torch", provenance.torch},
          {"onnx", provenance.onnx},
          {"opset", provenance.opset},
          {"weights", {{"kind", provenance.weights.kind}, {"name", provenance.weights.name}}}}},
        {"files", files_json(manifest.files)},
    };
    for (const PruningPoint& point : manifest.pruning_points) {
        json["pruning_points"].push_back(point_json(point));
    }
    for (const StateSpec& spec : manifest.state) {
        json["state"].push_back(state_json(spec));
    }
    return json;
}

EngineHost host_of(const Json& input) {
    EngineHost host{input.at("backend"), input.at("version"), std::nullopt};
    if (input.contains("compute_capability")) {
        host.compute_capability = input.at("compute_capability").get<std::string>();
    }
    return host;
}

}  // namespace

Json run_sha256(const Json& input, const ArrayFile&, ArrayFile&) {
    return sha256_of_file(input.at("path").get<std::string>());
}

Json run_manifest(const Json& input, const ArrayFile&, ArrayFile&) {
    const bool verify = input.value("verify", true);
    const Bundle bundle =
        Bundle::open(input.at("path").get<std::string>(), verify ? Bundle::Check::Hashes : Bundle::Check::Sizes);
    return {{"manifest", manifest_json(bundle.manifest())},
            {"init", bundle.graph_path(GraphRole::Init).string()},
            {"weights", bundle.weights_path().string()}};
}

Json run_engine(const Json& input, const ArrayFile&, ArrayFile&) {
    const Bundle bundle = Bundle::open(input.at("path").get<std::string>());
    const EngineRecord record = read_engine_record(bundle, host_of(input));
    Json json{{"backend", record.backend},        {"backend_version", record.backend_version},
              {"precision", record.precision},    {"vpp_deploy", record.vpp_deploy},
              {"machine", record.machine},        {"compute_capabilities", record.compute_capabilities},
              {"options", record.options},        {"source", record.source},
              {"files", files_json(record.files)}};
    if (const auto& plugins = record.plugins) {
        json["plugins"] = {{"file", plugins->file}, {"sha256", plugins->sha256}, {"version", plugins->version}};
    }
    return json;
}

Json run_plugins(const Json& input, const ArrayFile&, ArrayFile&) {
    const Json& record = input.at("record");
    std::optional<std::filesystem::path> given;
    if (!input.at("given").is_null()) {
        given = input.at("given").get<std::string>();
    }
    return find_plugin_library({record.at("file"), record.at("sha256"), record.at("version")}, given,
                               input.at("build_command"))
        .string();
}

Json run_plan(const Json& input, const ArrayFile&, ArrayFile&) {
    const auto path = input.at("path").get<std::string>();
    const auto header = read_plan_header(path);
    const auto hint = plan_hint(path, host_of(input));
    return {{"backend", header ? Json(header->backend) : Json()},
            {"version", header ? Json(header->version_text()) : Json()},
            {"hint", hint ? Json(*hint) : Json()}};
}

}  // namespace vpp::check
