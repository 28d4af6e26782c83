#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace vpp {

/// The plugin library that a TensorRT engine was built with. The engine needs that very library.
struct PluginRecord {
    std::string file;     ///< its name, e.g. "libvpp_plugins.so"
    std::string sha256;   ///< of the file
    std::string version;  ///< of vpp-deploy, whose ops it implements
};

/// Find the library that an engine was built with, by reading files; nothing is loaded.
///
/// A bundle only records a hash: where a library is looked for is up to the user, because loading one runs its code.
///
/// @param record of the engine.
/// @param given the library's file, or a folder with `libvpp_plugins.so`; none: the entries of the environment variable
///     `VPP_DEPLOY_PLUGIN_PATH`, files or folders separated by colons.
/// @param build_command what builds the engine again, for the message.
/// @returns the absolute path of the library.
/// @throws PluginError no library was found, or only others.
std::filesystem::path find_plugin_library(const PluginRecord& record, const std::optional<std::filesystem::path>& given,
                                          const std::string& build_command);

}  // namespace vpp
