#include "vpp/manifest.hpp"

#include <algorithm>
#include <iterator>

#include "file_record.hpp"
#include "json_value.hpp"
#include "text.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace {

/// The first schema version with a task beside the family, which said both before.
constexpr std::int64_t kTaskVersion = 3;
constexpr const char* kTask = "segmentation";
constexpr GraphRole kRoles[] = {GraphRole::Init, GraphRole::Step};
constexpr DType kDTypes[] = {DType::Float32, DType::Float16, DType::Int32, DType::UInt8, DType::Bool};

DType dtype(const JsonValue& value) {
    return kDTypes[value.one_of({"float32", "float16", "int32", "uint8", "bool"})];
}

std::vector<std::int64_t> shape(const JsonValue& value) {
    std::vector<std::int64_t> lengths;
    for (const JsonValue& length : value.items()) {
        lengths.push_back(length.positive());
    }
    return lengths;
}

Size size(const JsonValue& value) {
    const std::vector<JsonValue> lengths = value.items(2);
    return {lengths[0].positive(), lengths[1].positive()};
}

std::array<double, 3> channels(const JsonValue& value) {
    const std::vector<JsonValue> numbers = value.items(3);
    return {numbers[0].number(), numbers[1].number(), numbers[2].number()};
}

TensorSpec tensor(const JsonValue& value) {
    JsonFields fields(value);
    TensorSpec spec{fields.at("name").string(), dtype(fields.at("dtype")), shape(fields.at("shape"))};
    fields.refuse_others();
    return spec;
}

template <class Element>
std::vector<Element> list_of(const JsonValue& value, Element (*read)(const JsonValue&)) {
    std::vector<Element> elements;
    for (const JsonValue& item : value.items()) {
        elements.push_back(read(item));
    }
    return elements;
}

StateSpec state(const JsonValue& value) {
    JsonFields fields(value);
    StateSpec spec{fields.at("name").string(), dtype(fields.at("dtype")), shape(fields.at("shape")),
                   fields.at("input").string(), fields.at("output").string()};
    if (const auto initial = fields.find("initial")) {
        initial->one_of({"init-graph"});
    }
    fields.refuse_others();
    return spec;
}

GraphSpec graph(const JsonValue& value) {
    JsonFields fields(value);
    GraphSpec spec{fields.at("file").string(), list_of(fields.at("inputs"), tensor),
                   list_of(fields.at("outputs"), tensor)};
    fields.refuse_others();
    return spec;
}

GraphRole phase(const JsonValue& value) {
    return kRoles[value.one_of({"init", "step"})];
}

double keep_ratio(const JsonValue& value) {
    const double ratio = value.probability();
    if (ratio == 0) {
        value.fail("should be greater than 0");
    }
    return ratio;
}

PruningPoint pruning_point(const JsonValue& value) {
    JsonFields fields(value);
    PruningPoint point{fields.at("name").string(),   fields.at("block").integer_from(0),
                       fields.at("output").string(), keep_ratio(fields.at("keep_ratio")),
                       fields.at("kept").positive(), list_of(fields.at("phases"), phase)};
    fields.refuse_others();
    return point;
}

Preprocessing preprocessing(const JsonValue& value) {
    JsonFields fields(value);
    const std::pair<const char*, const char*> fixed[] = {
        {"resize", "letterbox"}, {"interpolation", "bilinear"}, {"colour", "RGB"}};
    for (const auto& [name, only] : fixed) {
        if (const auto field = fields.find(name)) {
            field->one_of({only});
        }
    }
    const Preprocessing result{channels(fields.at("mean")), channels(fields.at("std"))};
    fields.refuse_others();
    return result;
}

DetectionSpec detection(const JsonValue& value) {
    JsonFields fields(value);
    const DetectionSpec spec{fields.at("num_queries").positive(), fields.at("query_width").positive(),
                             fields.at("max_tracks").positive(), fields.at("max_detections").positive()};
    fields.refuse_others();
    return spec;
}

TrackerSpec tracker(const JsonValue& value) {
    JsonFields fields(value);
    TrackerSpec spec;
    const std::pair<const char*, double*> thresholds[] = {{"new_score", &spec.new_score},
                                                          {"track_score", &spec.track_score},
                                                          {"low_score", &spec.low_score},
                                                          {"existing_iou", &spec.existing_iou},
                                                          {"new_iou", &spec.new_iou}};
    for (const auto& [name, threshold] : thresholds) {
        if (const auto field = fields.find(name)) {
            *threshold = field->probability();
        }
    }
    if (const auto field = fields.find("max_age")) {
        spec.max_age = field->positive();
    }
    fields.refuse_others();
    return spec;
}

ModelSpec model(const JsonValue& value, std::int64_t version) {
    JsonFields fields(value);
    ModelSpec spec{fields.at("name").string(), fields.at("family").string(), kTask, fields.at("keep_schedule").string(),
                   fields.at("dataset").string()};
    if (version >= kTaskVersion) {
        fields.at("task").one_of({kTask});
    } else {
        fields.at("family").one_of({"vpp", "papr"});
    }
    fields.at("config").members();
    fields.refuse_others();
    return spec;
}

std::string precision(const JsonValue& value) {
    const std::string& name = value.string();
    const bool starts_right = !name.empty() && name[0] >= 'a' && name[0] <= 'z';
    if (!starts_right || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
        value.fail("should be a name of lower-case letters, digits and underscores, got " + in_quotes(name));
    }
    return name;
}

WeightsProvenance weights_provenance(const JsonValue& value) {
    JsonFields fields(value);
    WeightsProvenance weights{fields.at("kind").string(), fields.at("name").string()};
    fields.at("kind").one_of({"checkpoint", "random", "shipped", "pretrained", "memory"});
    if (const auto field = fields.find("sha256"); field && !field->is_null()) {
        field->string();
    }
    if (const auto field = fields.find("seed"); field && !field->is_null()) {
        field->integer();
    }
    fields.refuse_others();
    return weights;
}

Provenance provenance(const JsonValue& value) {
    JsonFields fields(value);
    Provenance result{fields.at("created").string(), fields.at("vpp_deploy").string(),
                      fields.at("torch").string(),   fields.at("onnx").string(),
                      fields.at("opset").positive(), weights_provenance(fields.at("weights"))};
    if (const auto field = fields.find("proposal_weights"); field && !field->is_null()) {
        weights_provenance(*field);
    }
    fields.refuse_others();
    return result;
}

void read_graphs(const JsonValue& value, Manifest& manifest) {
    JsonFields fields(value);
    for (const GraphRole phase : kRoles) {
        const auto field = fields.find(name_of(phase));
        if (!field) {
            value.fail("missing the phase " + std::string(name_of(phase)));
        }
        (phase == GraphRole::Init ? manifest.init : manifest.step) = graph(*field);
    }
    fields.refuse_others();
}

/// Whether two of the names are one.
bool repeats(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) != names.end();
}

void check_names(const Manifest& manifest) {
    std::vector<std::string> states;
    std::vector<std::string> ends;
    for (const StateSpec& state : manifest.state) {
        states.push_back(state.name);
        ends.insert(ends.end(), {state.input, state.output});
    }
    if (repeats(states)) {
        throw SchemaError("state: each tensor must have a name of its own");
    }
    for (const GraphRole phase : kRoles) {
        std::vector<std::string> names = ends;
        const GraphSpec& graph = manifest.graph(phase);
        for (const std::vector<TensorSpec>* tensors : {&graph.inputs, &graph.outputs}) {
            std::transform(tensors->begin(), tensors->end(), std::back_inserter(names),
                           [](const TensorSpec& spec) { return spec.name; });
        }
        if (repeats(names)) {
            throw SchemaError("graphs." + std::string(name_of(phase)) +
                              ": each input, output and state must have a name of its own");
        }
    }
}

void check_consistency(const Manifest& manifest) {
    for (const std::string& used : {manifest.weights_file, manifest.init.file, manifest.step.file}) {
        if (manifest.files.count(used) == 0) {
            throw SchemaError("files: " + in_quotes(used) + " is used but has no size and hash");
        }
    }
    if (repeats({manifest.weights_file, manifest.init.file, manifest.step.file})) {
        throw SchemaError("graphs: each graph and the weights must be a file of its own");
    }
    const auto sorted_by = [&manifest](std::string StateSpec::* name) {
        return std::is_sorted(manifest.state.begin(), manifest.state.end(),
                              [name](const StateSpec& a, const StateSpec& b) { return a.*name < b.*name; });
    };
    if (!sorted_by(&StateSpec::input) || !sorted_by(&StateSpec::output)) {
        throw SchemaError("state: input and output names must sort in the same order as the states are listed");
    }
    check_names(manifest);
}

/// Nothing is wrong with the bundle.
class UnsupportedTask : public SchemaError {
  public:
    using SchemaError::SchemaError;
};

std::int64_t schema_version(const nlohmann::json& document) {
    const auto version = document.find("schema_version");
    return version == document.end() ? kSchemaVersion : JsonValue(*version, "schema_version").integer();
}

/// A field of the model that is a string, else "".
std::string model_field(const nlohmann::json& document, const char* name) {
    const auto model = document.find("model");
    if (model == document.end() || !model->is_object()) {
        return "";
    }
    const auto field = model->find(name);
    return field != model->end() && field->is_string() ? field->get<std::string>() : "";
}

/// Other tasks have other fields, so this comes before any field is checked. A task that is missing is left to them.
void check_task(const nlohmann::json& document, std::int64_t version) {
    std::string what;
    if (version >= kTaskVersion) {
        const std::string task = model_field(document, "task");
        what = task.empty() || task == kTask ? "" : "model.task: " + in_quotes(task);
    } else if (model_field(document, "family") == "papr") {
        what = "model.family: 'papr' is for the task 'classification', which";
    }
    if (!what.empty()) {
        throw UnsupportedTask(what + " is not a task that this library runs: use a bundle of the task " +
                              in_quotes(kTask) + ", or the Python package vpp-deploy");
    }
}

Manifest manifest_of(const nlohmann::json& document) {
    JsonFields fields{JsonValue(document)};
    Manifest manifest{};
    const auto version = fields.find("schema_version");
    manifest.schema_version = version ? version->integer_from(1) : kSchemaVersion;
    const bool has_task = manifest.schema_version >= kTaskVersion;
    manifest.model = model(fields.at("model"), manifest.schema_version);
    if (const auto field = fields.find("precision")) {
        manifest.precision = precision(*field);
    }
    if (const auto field = fields.find("quantization"); field && !field->is_null()) {
        field->members();  // how the graphs were made, which nothing here depends on
    }
    manifest.frame_size = size(fields.at("frame_size"));
    manifest.patch_size = fields.at("patch_size").positive();
    manifest.token_grid = size(fields.at("token_grid"));
    if (const auto field = has_task ? fields.find("blocks") : std::nullopt) {
        manifest.blocks = field->positive();
    }
    manifest.preprocessing = preprocessing(fields.at("preprocessing"));
    manifest.detection = detection(fields.at("detection"));
    manifest.tracker = tracker(fields.at("tracker"));
    manifest.class_names = fields.at("class_names").strings();
    manifest.pruning_points = list_of(fields.at(has_task ? "pruning_points" : "selection_points"), pruning_point);
    read_graphs(fields.at("graphs"), manifest);
    if (const auto field = fields.find("state")) {
        manifest.state = list_of(*field, state);
    }
    manifest.weights_file = fields.at("weights_file").string();
    manifest.provenance = provenance(fields.at("provenance"));
    manifest.files = file_records(fields.at("files"));
    fields.refuse_others();
    check_consistency(manifest);
    return manifest;
}

}  // namespace

const char* name_of(DType dtype) {
    constexpr const char* kNames[] = {"float32", "float16", "int32", "uint8", "bool"};
    return kNames[static_cast<std::size_t>(dtype)];
}

const char* name_of(GraphRole phase) {
    return phase == GraphRole::Init ? "init" : "step";
}

Manifest read_manifest(const std::filesystem::path& path) {
    nlohmann::json document;
    try {
        document = read_json_file(path);
    } catch (const std::runtime_error& error) {
        throw BundleError(path.string() + " " + error.what() + ": export the bundle again");
    }
    try {
        const std::int64_t version = schema_version(document);
        if (version > kSchemaVersion) {
            throw BundleError(path.string() + " has schema version " + std::to_string(version) +
                              ", this vpp_runtime reads up to " + std::to_string(kSchemaVersion) +
                              ": upgrade vpp_runtime");
        }
        check_task(document, version);
        return manifest_of(document);
    } catch (const UnsupportedTask& error) {
        throw BundleError(path.string() + ": " + error.what());
    } catch (const SchemaError& error) {
        throw BundleError(path.string() + ": " + error.what() + "; export the bundle again");
    }
}

}  // namespace vpp
