#include "tensorrt_runtime.hpp"

#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tensorrt_tensors.hpp"
#include "vpp/error.hpp"
#include "vpp/plan_header.hpp"

namespace vpp {
namespace fs = std::filesystem;
namespace {

std::vector<char> read_file(const fs::path& path) {
    std::error_code failed;
    std::vector<char> content(fs::file_size(path, failed));
    std::ifstream file(path, std::ios::binary);
    if (failed || !file.read(content.data(), static_cast<std::streamsize>(content.size()))) {
        throw EngineError("cannot read the engine file " + path.string() + "; build the engine again");
    }
    return content;
}

std::unique_ptr<nvinfer1::ICudaEngine> deserialise(nvinfer1::IRuntime& runtime, const fs::path& path,
                                                   const std::string& version) {
    const std::vector<char> plan = read_file(path);
    std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime.deserializeCudaEngine(plan.data(), plan.size()));
    if (!engine) {
        const auto hint = plan_hint(path, {"tensorrt", version, std::nullopt});
        throw EngineError(path.string() + " cannot be deserialised here (" +
                          hint.value_or("its reason is logged above") + "); build the engine on this machine");
    }
    return engine;
}

class TensorRtContext final : public Context {
  public:
    TensorRtContext(std::shared_ptr<TensorRtRuntime> runtime, GraphRole phase)
        : runtime_(std::move(runtime)), phase_(phase), context_(runtime_->engine(phase).createExecutionContext()) {
        if (!context_) {
            throw DeviceError("no execution context for the " + std::string(name_of(phase)) +
                              " graph: most likely device memory ran out; close other programs or streams");
        }
    }

    void bind(const std::string& name, const Buffer& buffer) override {
        if (!context_->setTensorAddress(name.c_str(), buffer.address.get())) {
            throw DeviceError("TensorRT does not take an address for " + name + " of the " + name_of(phase_) +
                              " graph (its reason is logged above); build the engine again");
        }
    }

    void enqueue(const Queue& queue) override {
        if (!context_->enqueueV3(static_cast<cudaStream_t>(queue.handle.get()))) {
            throw DeviceError("TensorRT could not run the " + std::string(name_of(phase_)) +
                              " graph (its reason is logged above); start again, and see: nvidia-smi");
        }
    }

  private:
    std::shared_ptr<TensorRtRuntime> runtime_;
    GraphRole phase_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

}  // namespace

void TensorRtLog::log(Severity severity, const char* message) noexcept {
    if (severity > Severity::kWARNING) {
        return;
    }
    try {
        std::string line = std::string(severity < Severity::kWARNING ? "TensorRT: error: " : "TensorRT: ") + message;
        for (char& character : line) {
            character = character == '\n' ? ' ' : character;
        }
        log_(line);
    } catch (...) {  // a message that cannot be told must not end the program
    }
}

TensorRtRuntime::TensorRtRuntime(const TensorRtLibrary& library, const fs::path& folder, const Manifest& manifest,
                                 bool host_code, Log log)
    : log_(std::move(log)), runtime_(library.create_runtime(log_)) {
    runtime_->setEngineHostCodeAllowed(host_code);
    for (const GraphRole phase : {GraphRole::Init, GraphRole::Step}) {
        const fs::path path = folder / engine_file(phase);
        auto engine = deserialise(*runtime_, path, library.version());
        check_tensors(*engine, manifest, phase, path);
        (phase == GraphRole::Init ? init_ : step_) = std::move(engine);
    }
}

std::string engine_file(GraphRole phase) {
    return std::string(name_of(phase)) + ".engine";
}

std::unique_ptr<Context> create_context(std::shared_ptr<TensorRtRuntime> runtime, GraphRole phase) {
    return std::make_unique<TensorRtContext>(std::move(runtime), phase);
}

}  // namespace vpp
