#include "vpp/tensorrt_engine.hpp"

#include <cstdlib>
#include <string>
#include <utility>

#include "cuda_device.hpp"
#include "tensorrt_library.hpp"
#include "tensorrt_runtime.hpp"
#include "vpp/device_stream.hpp"
#include "vpp/engine_record.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace {

constexpr const char* kBackend = "tensorrt";

/// The record, once everything in the bundle's engine folder has been compared with it.
EngineRecord checked_record(const Bundle& bundle) {
    const EngineRecord record = read_engine_record(bundle, {kBackend, tensorrt_major(), std::nullopt});
    for (const GraphRole phase : {GraphRole::Init, GraphRole::Step}) {
        if (record.files.count(engine_file(phase)) == 0) {
            throw EngineError("the record of the tensorrt engine in " + bundle.path().string() + " lists no " +
                              engine_file(phase) + "; build it with: " + rebuild_command(bundle, kBackend));
        }
    }
    return record;
}

/// A bundle cannot say for itself that code in its engine may run on the processor.
void check_host_code(const EngineRecord& record) {
    const char* allowed = std::getenv("VPP_DEPLOY_HOST_CODE");
    if (record.version_compatible() && (!allowed || std::string(allowed) != "1")) {
        throw EngineError(
            "the tensorrt engine is version compatible, so it carries code that runs on the processor; if "
            "you trust where it comes from: export VPP_DEPLOY_HOST_CODE=1, or build it without "
            "--version-compatible");
    }
}

}  // namespace

TensorRtEngine::TensorRtEngine(const Bundle& bundle, const TensorRtOptions& options)
    : manifest_(bundle.manifest()), log_(options.log) {
    const EngineRecord record = checked_record(bundle);
    check_host_code(record);
    std::filesystem::path plugins;
    if (record.plugins) {
        plugins = find_plugin_library(*record.plugins, options.plugin_library, rebuild_command(bundle, kBackend));
    }
    const TensorRtLibrary library(options.tensorrt_library);
    check_engine_host(bundle, record, {kBackend, library.version(), std::nullopt});
    device_ = std::make_shared<CudaDevice>(options.cuda_graph);
    check_engine_host(bundle, record, {kBackend, library.version(), device_->compute_capability()});
    if (record.plugins) {
        library.load_plugins(plugins, record.plugins->sha256);
    }
    runtime_ = std::make_shared<TensorRtRuntime>(library, bundle.engine_folder(kBackend), manifest_,
                                                 record.version_compatible(), log_);
}

std::unique_ptr<EngineStream> TensorRtEngine::open_stream() {
    const std::lock_guard lock(opening_);
    return std::make_unique<DeviceStream>(
        manifest_, device_, [this](GraphRole phase) { return create_context(runtime_, phase); }, log_);
}

}  // namespace vpp
