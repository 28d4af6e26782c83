#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vpp/bundle.hpp"
#include "vpp/manifest.hpp"
#include "vpp/plugin_library.hpp"

namespace vpp {

/// What an engine is made of and for: `engines/<backend>/engine.json`, next to the engine files.
struct EngineRecord {
    std::string backend;          ///< e.g. "tensorrt"
    std::string backend_version;  ///< the library that built it; another one may not load it
    std::string precision;
    std::string vpp_deploy = "unknown";             ///< version of the Python package that lowered the graphs
    std::string machine = "any";                    ///< processor architecture, for engines that depend on it
    std::vector<std::string> compute_capabilities;  ///< GPU architectures that it was built for; empty: not recorded
    std::map<std::string, std::string> options;     ///< what else decided what was built, by name
    std::map<std::string, std::string> source;      ///< hash of every bundle file that it was built from
    std::map<std::string, FileRecord> files;        ///< size and hash of its own files
    std::optional<PluginRecord> plugins;            ///< the plugin library that it was built with, if any

    /// Whether later versions of its library can run it, of the same major version.
    bool version_compatible() const { return options.count("version compatible") > 0; }
};

/// Where an engine is to run.
struct EngineHost {
    std::string backend;          ///< "tensorrt" or "tensorrt-rtx"
    std::string backend_version;  ///< of the installed library; "10.13.3" also stands for a record's "10.13.3.9"
    std::optional<std::string> compute_capability;  ///< of the GPU, e.g. "8.9"; checked where the record has any
    std::string machine = this_machine();

    /// The processor architecture that this program runs on, e.g. "x86_64".
    static std::string this_machine();
};

/// The record of an engine that fits this bundle and this host. Everything is checked offline, before any library of
/// the vendor is called: the graphs and weights that it was built from, size and hash of its files, precision,
/// versions.
///
/// @throws EngineError there is no such engine, its files are damaged, or it was built from another graph, by another
///     version, or for another machine. The message names the command that rebuilds it.
EngineRecord read_engine_record(const Bundle& bundle, const EngineHost& host);

/// Hold a record to what is known of a host only once its libraries are loaded, such as their full version.
///
/// @throws EngineError as `read_engine_record`, for another version or another machine.
void check_engine_host(const Bundle& bundle, const EngineRecord& record, const EngineHost& host);

/// The command that builds an engine of a bundle (again).
std::string rebuild_command(const Bundle& bundle, const std::string& backend);

}  // namespace vpp
