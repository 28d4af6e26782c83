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
    const auto classes = static_cast<std::int64_t>(manifest.class_names.size());
    if (logits.shape.size() != 2 || logits.shape[1] != classes + 1 || logits.shape[1] < 2 || masks.shape.size() != 3) {
        fail(phase, "has " + describe(logits.dtype, logits.shape) + " class_logits and " +
                        describe(masks.dtype, masks.shape) + " mask_logits");
    }
    const std::int64_t count = logits.shape[0];
    require(phase, logits, DType::Float32, logits.shape);
    require(phase, masks, DType::Float32, {count, masks.shape[1], masks.shape[2]});
    require(phase, output(manifest, phase, "query_features"), DType::Float32, {count, manifest.detection.query_width});
    require(phase, output(manifest, phase, "query_indices"), DType::Int32, {count});
    require(phase, output(manifest, phase, "candidates"), DType::Int32, {1});
    const std::int64_t tokens = manifest.token_grid.height * manifest.token_grid.width;
    for (const PruningPoint& point : manifest.pruning_points) {
        if (std::find(point.phases.begin(), point.phases.end(), phase) != point.phases.end()) {
            require(phase, output(manifest, phase, point.output), DType::Int32, {point.kept});
            if (point.kept > tokens) {
                fail(phase, "keeps " + std::to_string(point.kept) + " of " + std::to_string(tokens) + " tokens");
            }
        }
    }
}

}  // namespace

void check_memory(const Manifest& manifest, std::size_t most) {
    const auto allow = [&manifest, most](const std::string& what, std::size_t bytes) {
        if (bytes > most) {
            throw BundleError("bundle of " + manifest.model.name + ": " + what + " would take " +
                              std::to_string(bytes / 1'000'000) + " MB of memory, more than the " +
                              std::to_string(most / 1'000'000) + " MB that are allowed: if you trust it, allow more");
        }
    };
    const DetectionSpec& detection = manifest.detection;
    const auto [height, width] = manifest.frame_size;
    const auto tensor = [&allow](const std::string& what, DType dtype, const Shape& shape) {
        std::size_t bytes = SIZE_MAX;
        try {
            bytes = byte_count(dtype, shape);
        } catch (const UsageError&) {  // beyond what any memory holds
        }
        allow(what, bytes);
        return bytes;
    };
    tensor("a frame of " + std::to_string(height) + "x" + std::to_string(width) + " pixels", DType::UInt8,
           {height, width, 3});
    tensor("queries of " + std::to_string(detection.max_tracks) + " tracks with " +
               std::to_string(detection.query_width) + " channels",
           DType::Float32, {detection.max_tracks, detection.query_width});
    for (const GraphRole phase : {GraphRole::Init, GraphRole::Step}) {
        const std::string what = std::string("inputs, outputs and state of the ") + name_of(phase) + " graph";
        std::size_t total = 0;
        const auto add = [&](DType dtype, const Shape& shape) { allow(what, total += tensor(what, dtype, shape)); };
        for (const std::vector<TensorSpec>* specs : {&manifest.graph(phase).inputs, &manifest.graph(phase).outputs}) {
            for (const TensorSpec& spec : *specs) {
                add(spec.dtype, spec.shape);
            }
        }
        for (const StateSpec& spec : manifest.state) {
            add(spec.dtype, spec.shape);
        }
    }
}

void check_session_contract(const Manifest& manifest) {
    for (const GraphRole phase : {GraphRole::Init, GraphRole::Step}) {
        check_inputs(manifest, phase);
        check_outputs(manifest, phase);
    }
}

}  // namespace vpp
