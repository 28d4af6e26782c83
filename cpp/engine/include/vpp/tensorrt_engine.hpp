#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>

#include "vpp/bundle.hpp"
#include "vpp/engine_stream.hpp"
#include "vpp/log.hpp"
#include "vpp/manifest.hpp"

namespace vpp {

class CudaDevice;
class TensorRtRuntime;

struct TensorRtOptions {
    /// File or folder of the plugin library that the engine was built with; none: `VPP_DEPLOY_PLUGIN_PATH` tells.
    std::optional<std::filesystem::path> plugin_library;

    /// The file of TensorRT's library; empty: `libnvinfer.so.<major>`, wherever the dynamic linker finds it.
    std::filesystem::path tensorrt_library;

    /// Whether streams capture CUDA graphs.
    bool cuda_graph = true;

    /// Takes the warnings and errors of TensorRT, and of streams that cannot be captured.
    Log log = log_to_stderr;
};

/// A bundle's TensorRT engine on the calling thread's current CUDA device, which every thread that uses a stream must
/// have as its current one. Thread-safe; weights are loaded once and shared by all streams.
class TensorRtEngine {
  public:
    /// Checks everything that files tell, then opens TensorRT and loads the engine.
    ///
    /// @throws EngineError the bundle has no TensorRT engine, or it does not fit the bundle, this version or this GPU.
    /// @throws PluginError the plugin library that the engine was built with was not found or does not load.
    /// @throws DependencyError TensorRT is not installed or does not load.
    /// @throws DeviceError there is no GPU, or not enough memory on it.
    explicit TensorRtEngine(const Bundle& bundle, const TensorRtOptions& options = {});

    const Manifest& manifest() const { return manifest_; }

    /// A new stream with empty state: its own contexts and buffers. It may outlive the engine.
    ///
    /// @throws DeviceError there is not enough device memory.
    std::unique_ptr<EngineStream> open_stream();

  private:
    Manifest manifest_;
    Log log_;
    std::shared_ptr<CudaDevice> device_;
    std::shared_ptr<TensorRtRuntime> runtime_;
    std::mutex opening_;
};

}  // namespace vpp
