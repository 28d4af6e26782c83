#include "vpp/session.hpp"

#include <map>
#include <memory>
#include <string>

#include "arrays.hpp"
#include "instances.hpp"
#include "sizes.hpp"

namespace vpp::check {
namespace {

/// A stream that answers with what an engine once gave, and writes down what it is asked.
class ReplayStream final : public EngineStream {
  public:
    Tensors outputs;       ///< of the next frame
    SharedTensors inputs;  ///< of the last one
    std::shared_ptr<const Tensor> prefetched;
    Json calls = Json::array();
    GraphRole phase = GraphRole::Init;

    Tensors run(const SharedTensors& given) override {
        phase = GraphRole::Step;
        inputs = given;
        return outputs;
    }
    void prefetch(const SharedTensors& given) override { prefetched = given.at("frame"); }
    void reset() override {
        phase = GraphRole::Init;
        calls.push_back("reset");
    }
    StreamState snapshot() override {
        calls.push_back("snapshot");
        return {phase, {{"marker", Tensor(DType::Int32, {1})}}};
    }
    void restore(const StreamState& state) override {
        phase = state.phase;
        calls.push_back("restore " + std::to_string(state.tensors.count("marker")));
    }
};

Tensor tensor_of(const TensorSpec& spec, const Json& array, const ArrayFile& arrays) {
    Tensor tensor(spec.dtype, spec.shape);
    if (spec.dtype == DType::Int32) {
        tensor.assign(arrays.read<std::int32_t>(array));
    } else {
        tensor.assign(arrays.read<float>(array));
    }
    return tensor;
}

Json array_of(const Tensor& tensor, ArrayFile& results) {
    switch (tensor.dtype()) {
        case DType::Float32:
            return results.append(tensor.values<float>(), tensor.shape());
        case DType::Int32:
            return results.append(tensor.values<std::int32_t>(), tensor.shape());
        default:
            return results.append(std::vector<std::uint8_t>(tensor.data(), tensor.data() + tensor.bytes()),
                                  tensor.shape());
    }
}

Json result_json(const FrameResult& result, ArrayFile& results) {
    Json json{{"index", result.index},
              {"original_size", {result.original_size.height, result.original_size.width}},
              {"grid", {result.grid.height, result.grid.width}},
              {"candidates_dropped", result.candidates_dropped},
              {"tracks_not_fed", result.tracks_not_fed},
              {"kept", Json::object()},
              {"parts", Json::array()},
              {"instances", instances_json(result.instances, results)}};
    for (const auto& [point, positions] : result.kept) {
        json["kept"][point] = positions;
    }
    for (const auto& [part, seconds] : result.seconds) {
        json["parts"].push_back(part);
    }
    return json;
}

}  // namespace

/// Runs the case's steps (`frame`, `snapshot`, `restore`, `reset`) on one session over a stream that replays.
Json run_session(const Json& input, const ArrayFile& arrays, ArrayFile& results) {
    const Manifest manifest = read_manifest(input.at("manifest").get<std::string>());
    auto owned = std::make_unique<ReplayStream>();
    ReplayStream& stream = *owned;
    Session session(manifest, std::move(owned));
    std::map<std::string, SessionState> snapshots;
    Json outcomes = Json::array();
    for (const Json& step : input.at("steps")) {
        const auto act = step.at("step").get<std::string>();
        Json outcome = Json::object();
        if (act == "frame") {
            const Json& image = step.at("image");
            const Frame frame = session.frame(arrays.read<std::uint8_t>(image).data(), size_of(image.at("shape")));
            session.prefetch(frame);
            stream.outputs.clear();
            for (const TensorSpec& spec :
                 manifest.graph(step.at("phase") == "init" ? GraphRole::Init : GraphRole::Step).outputs) {
                stream.outputs.emplace(spec.name, tensor_of(spec, step.at("outputs").at(spec.name), arrays));
            }
            outcome["result"] = result_json(session.step(frame), results);
            outcome["prefetched"] = stream.prefetched == stream.inputs.at("frame");
            for (const auto& [name, tensor] : stream.inputs) {
                outcome["inputs"][name] = array_of(*tensor, results);
            }
        } else if (act == "snapshot") {
            snapshots[step.at("name")] = session.snapshot();
        } else if (act == "restore") {
            session.restore(snapshots.at(step.at("name")));
        } else if (act == "reset") {
            session.reset();
        } else {
            throw std::runtime_error("unknown step " + act);
        }
        outcome["calls"] = std::exchange(stream.calls, Json::array());
        outcomes.push_back(outcome);
    }
    return outcomes;
}

}  // namespace vpp::check
