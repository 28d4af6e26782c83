#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vpp/device.hpp"
#include "vpp/engine_stream.hpp"
#include "vpp/log.hpp"
#include "vpp/manifest.hpp"

namespace vpp {

/// A stream whose state stays on the device: two buffers for each state tensor, swapped every frame.
///
/// A frame's inputs go up, the graph runs, its outputs come down; state tensors never leave the device. A step reads
/// state from one buffer and writes it to the other, so that nothing is ever read and written at once. The step graph
/// is captured twice, once for each direction, after it has run once as it is (libraries set themselves up in a first
/// run). If it cannot be captured, the stream says so once and goes on without.
class DeviceStream final : public EngineStream {
  public:
    /// @param manifest names the inputs, outputs and state tensors of the graphs.
    /// @param create_context is called once for each phase.
    /// @throws BundleError an input has another dtype or shape in the init graph than in the step graph.
    /// @throws DeviceError there is not enough memory.
    DeviceStream(const Manifest& manifest, std::shared_ptr<Device> device, const CreateContext& create_context,
                 Log log = log_to_stderr);
    DeviceStream(const DeviceStream&) = delete;
    DeviceStream& operator=(const DeviceStream&) = delete;
    ~DeviceStream() override;

    Tensors run(const SharedTensors& inputs) override;
    void prefetch(const SharedTensors& inputs) override;
    void reset() override;
    StreamState snapshot() override;
    void restore(const StreamState& state) override;

  private:
    /// A tensor on the device, and the host memory that it comes from or goes to.
    struct Place {
        Buffer buffer;
        PinnedMemory host;
    };

    /// An input tensor, and a second place into which its next value can be uploaded meanwhile.
    struct Input {
        TensorSpec spec;
        Place place;
        Place staging;                          ///< empty before the first prefetch
        std::shared_ptr<const Tensor> waiting;  ///< what is in `staging`
    };
    struct Output {
        TensorSpec spec;
        Place place;
    };
    struct State {
        StateSpec spec;
        std::array<Buffer, 2> buffers;
    };

    /// One graph of the engine.
    struct Stage {
        std::unique_ptr<Context> context;
        std::vector<Input*> inputs;
        std::vector<Output> outputs;
    };

    Place place(const TensorSpec& spec);
    Stage make_stage(const GraphSpec& graph, std::unique_ptr<Context> context);
    Stage& stage() { return phase_ == GraphRole::Init ? init_ : step_; }
    void begin_upload(Input& input, const std::shared_ptr<const Tensor>& value);
    void take(Input& input, const Tensor& value, bool is_waiting);
    void bind_state();
    void execute();
    bool capture();

    std::shared_ptr<Device> device_;
    Log log_;
    Queue queue_;
    Queue upload_queue_;
    std::map<std::string, Input> inputs_;  ///< shared by the graphs
    std::vector<State> states_;
    Stage init_;
    Stage step_;
    GraphRole phase_ = GraphRole::Init;
    std::size_t direction_ = 0;  ///< which of its two buffers a state is read from; it is written to the other one
    bool capturing_;
    std::array<bool, 2> warm_{};     ///< by direction: the step graph has run once
    std::array<Graph, 2> graphs_{};  ///< by direction
};

}  // namespace vpp
