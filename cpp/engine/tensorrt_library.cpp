#include "tensorrt_library.hpp"

#include <dlfcn.h>

#include <mutex>

#include "vpp/error.hpp"

namespace vpp {
namespace {

/// The plugin library that is in TensorRT's registry; it stays there until the process ends.
struct LoadedPlugins {
    std::mutex loading;
    std::string sha256;
};

LoadedPlugins& loaded_plugins() {
    static LoadedPlugins loaded;
    return loaded;
}

std::string loader_reason() {
    const char* text = dlerror();
    return text ? text : "no reason given";
}

}  // namespace

std::string tensorrt_major() {
    return std::to_string(NV_TENSORRT_MAJOR);
}

TensorRtLibrary::TensorRtLibrary(const std::filesystem::path& path)
    : name_(path.empty() ? "libnvinfer.so." + tensorrt_major() : path.string()),
      library_(dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!library_) {
        throw DependencyError("TensorRT does not load (" + loader_reason() + "); install TensorRT " + tensorrt_major() +
                              ", or say where its library is: --tensorrt-library FILE");
    }
    if (const int major = function<decltype(getInferLibMajorVersion)>("getInferLibMajorVersion")();
        major != NV_TENSORRT_MAJOR) {
        throw DependencyError(name_ + " is of TensorRT " + std::to_string(major) + ", this program needs " +
                              tensorrt_major() + "; install that, or compile this program again");
    }
}

std::string TensorRtLibrary::version() const {
    using Part = decltype(getInferLibMajorVersion);
    std::string text;
    for (const char* part :
         {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion", "getInferLibBuildVersion"}) {
        text += (text.empty() ? "" : ".") + std::to_string(function<Part>(part)());
    }
    return text;
}

std::unique_ptr<nvinfer1::IRuntime> TensorRtLibrary::create_runtime(nvinfer1::ILogger& logger) const {
    void* runtime =
        function<decltype(createInferRuntime_INTERNAL)>("createInferRuntime_INTERNAL")(&logger, NV_TENSORRT_VERSION);
    if (!runtime) {
        throw DependencyError(name_ + " makes no runtime (its reason is logged above); install TensorRT " +
                              tensorrt_major() + " again");
    }
    return std::unique_ptr<nvinfer1::IRuntime>(static_cast<nvinfer1::IRuntime*>(runtime));
}

void TensorRtLibrary::load_plugins(const std::filesystem::path& path, const std::string& sha256) const {
    LoadedPlugins& loaded = loaded_plugins();
    const std::lock_guard lock(loaded.loading);
    if (loaded.sha256 == sha256) {
        return;
    }
    if (!dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {  // TensorRT would not say why
        throw PluginError("plugin library " + path.string() + " does not load (" + loader_reason() +
                          "); make it on this machine");
    }
    if (!function<decltype(::getPluginRegistry)>("getPluginRegistry")()->loadLibrary(path.c_str())) {
        throw PluginError("TensorRT does not take the plugin library " + path.string() +
                          ": this process has another one already; use one process for each");
    }
    loaded.sha256 = sha256;
}

template <class Function>
Function* TensorRtLibrary::function(const char* name) const {
    void* address = dlsym(library_, name);
    if (!address) {
        throw DependencyError(name_ + " has no function " + name + "; give TensorRT " + tensorrt_major() +
                              "'s libnvinfer");
    }
    return reinterpret_cast<Function*>(address);
}

}  // namespace vpp
