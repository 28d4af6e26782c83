#pragma once

#include "vpp/manifest.hpp"
#include "vpp/tensor.hpp"

namespace vpp {

/// Everything that a stream remembers, as host data.
struct StreamState {
    GraphRole phase = GraphRole::Init;  ///< the graph that the next frame runs; Init: it is the first of a video
    Tensors tensors;                    ///< by the state's name in the manifest; empty in phase Init
};

/// The state of one video on one engine. Not thread-safe: one stream belongs to one caller at a time.
class EngineStream {
  public:
    virtual ~EngineStream() = default;

    /// Run the next frame and advance the state: the init graph on the first frame of a video, then the step graph.
    ///
    /// @param inputs every non-state input of the phase's graph, by its manifest name. Those that only the step graph
    ///     has may be passed on the first frame too; they are ignored there.
    /// @returns every non-state output of the graph, by its manifest name.
    /// @throws UsageError an input is missing, or has another dtype or shape than the manifest says.
    /// @throws DeviceError the device failed.
    virtual Tensors run(const SharedTensors& inputs) = 0;

    /// Begin to take inputs of the next frame, while the device or the host is busy. It may be left out.
    ///
    /// @param inputs any of them. `run` must get the very same tensors to make use of it.
    /// @throws UsageError, DeviceError: as `run`.
    virtual void prefetch(const SharedTensors& inputs) = 0;

    /// Forget the past: the next frame is the first of a new video.
    virtual void reset() = 0;

    /// A copy of the state. Later frames do not change it.
    ///
    /// @throws DeviceError the device failed.
    virtual StreamState snapshot() = 0;

    /// Continue from a snapshot of this or of any other engine of the same bundle.
    ///
    /// @throws UsageError a state tensor is missing, or is of another model; the stream keeps its own.
    /// @throws DeviceError the device failed.
    virtual void restore(const StreamState& state) = 0;
};

}  // namespace vpp
