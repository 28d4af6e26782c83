#pragma once

#include <memory>

#include "vpp/engine_stream.hpp"

namespace vpp::test {

/// A model without state for frames of 4 x 6 pixels, with two learned queries and one track slot.
inline Manifest tiny_video_manifest() {
    Manifest manifest{};
    manifest.model.name = "tiny";
    manifest.frame_size = {4, 6};
    manifest.token_grid = {2, 3};
    manifest.detection = {2, 2, 1, 3};
    manifest.class_names = {"thing"};
    manifest.pruning_points = {{"selection_1", 1, "kept", 0.5, 3, {GraphRole::Step}}};
    const std::vector<TensorSpec> inputs = {{"frame", DType::UInt8, {4, 6, 3}}, {"content_size", DType::Int32, {2}}};
    const auto outputs = [](std::int64_t count) {
        return std::vector<TensorSpec>{{"class_logits", DType::Float32, {count, 2}},
                                       {"mask_logits", DType::Float32, {count, 2, 3}},
                                       {"query_features", DType::Float32, {count, 2}},
                                       {"query_indices", DType::Int32, {count}},
                                       {"candidates", DType::Int32, {1}}};
    };
    manifest.init = {"init.onnx", inputs, outputs(2)};
    manifest.step = {"step.onnx", inputs, outputs(3)};
    manifest.step.inputs.push_back({"track_queries", DType::Float32, {1, 2}});
    manifest.step.inputs.push_back({"track_valid", DType::Bool, {1}});
    manifest.step.outputs.push_back({"kept", DType::Int32, {3}});
    return manifest;
}

/// A stream that sees nothing: all of its outputs are zero.
class BlindStream final : public EngineStream {
  public:
    explicit BlindStream(Manifest manifest) : manifest_(std::move(manifest)) {}

    Tensors run(const SharedTensors&) override {
        Tensors outputs;
        for (const TensorSpec& spec : manifest_.graph(phase_).outputs) {
            outputs.emplace(spec.name, Tensor(spec.dtype, spec.shape));
        }
        phase_ = GraphRole::Step;
        return outputs;
    }
    void prefetch(const SharedTensors&) override {}
    void reset() override { phase_ = GraphRole::Init; }
    StreamState snapshot() override { return {phase_, {}}; }
    void restore(const StreamState& state) override { phase_ = state.phase; }

  private:
    Manifest manifest_;
    GraphRole phase_ = GraphRole::Init;
};

}  // namespace vpp::test
