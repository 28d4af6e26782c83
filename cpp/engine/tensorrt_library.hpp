#pragma once

#include <NvInferRuntime.h>

#include <filesystem>
#include <memory>
#include <string>

namespace vpp {

/// The major version of TensorRT whose headers this was compiled with; only libraries of this version are opened.
std::string tensorrt_major();

/// TensorRT's library, opened at run time. It stays open until the process ends.
class TensorRtLibrary {
  public:
    /// @param path its file; empty: `libnvinfer.so.<major>`, wherever the dynamic linker finds it.
    /// @throws DependencyError it does not load, or is something else.
    explicit TensorRtLibrary(const std::filesystem::path& path);

    /// e.g. "11.1.0.106".
    std::string version() const;

    /// @param logger must outlive the runtime.
    /// @throws DependencyError the library does not make one.
    std::unique_ptr<nvinfer1::IRuntime> create_runtime(nvinfer1::ILogger& logger) const;

    /// Load a plugin library and register its plugins, once in a process.
    ///
    /// @throws PluginError it does not load, or other plugins of these names are registered.
    void load_plugins(const std::filesystem::path& path, const std::string& sha256) const;

  private:
    template <class Function>
    Function* function(const char* name) const;

    std::string name_;
    void* library_;
};

}  // namespace vpp
