#pragma once

#include <NvInferRuntime.h>

#include <filesystem>
#include <memory>

#include "tensorrt_library.hpp"
#include "vpp/device.hpp"
#include "vpp/log.hpp"
#include "vpp/manifest.hpp"

namespace vpp {

/// Passes TensorRT's messages on, from warnings up.
class TensorRtLog final : public nvinfer1::ILogger {
  public:
    explicit TensorRtLog(Log log) : log_(std::move(log)) {}
    void log(Severity severity, const char* message) noexcept override;

  private:
    Log log_;
};

/// Deserialised engines, one per phase, shared by the contexts of all streams.
class TensorRtRuntime {
  public:
    /// @param folder where the engine files are.
    /// @param manifest what the engines' inputs and outputs should be.
    /// @param host_code allow code in the engines to run on the processor, as version compatible ones need it.
    /// @throws DependencyError TensorRT makes no runtime.
    /// @throws EngineError an engine cannot be deserialised here, or has other inputs and outputs.
    TensorRtRuntime(const TensorRtLibrary& library, const std::filesystem::path& folder, const Manifest& manifest,
                    bool host_code, Log log);

    nvinfer1::ICudaEngine& engine(GraphRole phase) { return phase == GraphRole::Init ? *init_ : *step_; }

  private:
    TensorRtLog log_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> init_;
    std::unique_ptr<nvinfer1::ICudaEngine> step_;
};

/// The name of a phase's engine file.
std::string engine_file(GraphRole phase);

/// A new execution context, which keeps its engine; no weights are copied. It queues its work on CUDA streams.
///
/// @throws DeviceError there is not enough device memory.
std::unique_ptr<Context> create_context(std::shared_ptr<TensorRtRuntime> runtime, GraphRole phase);

}  // namespace vpp
