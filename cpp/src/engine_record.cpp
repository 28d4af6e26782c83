#include "vpp/engine_record.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <system_error>

#include "file_check.hpp"
#include "file_record.hpp"
#include "json_value.hpp"
#include "text.hpp"
#include "version.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace fs = std::filesystem;
namespace {

PluginRecord plugin_record(const JsonValue& value) {
    JsonFields fields(value);
    PluginRecord record{fields.at("file").string(), fields.at("sha256").string(), fields.at("version").string()};
    fields.refuse_others();
    return record;
}

std::map<std::string, std::string> strings_by_name(const JsonValue& value) {
    std::map<std::string, std::string> strings;
    for (const auto& [name, member] : value.members()) {
        strings[name] = member.string();
    }
    return strings;
}

EngineRecord record_of(const nlohmann::json& document) {
    JsonFields fields{JsonValue(document)};
    EngineRecord record;
    record.backend = fields.at("backend").string();
    record.backend_version = fields.at("backend_version").string();
    record.precision = fields.at("precision").string();
    if (const auto field = fields.find("vpp_deploy")) {
        record.vpp_deploy = field->string();
    }
    if (const auto field = fields.find("machine")) {
        record.machine = field->string();
    }
    if (const auto field = fields.find("compute_capabilities")) {
        record.compute_capabilities = field->strings();
    }
    if (const auto field = fields.find("options")) {
        record.options = strings_by_name(*field);
    }
    record.source = strings_by_name(fields.at("source"));
    record.files = file_records(fields.at("files"));
    if (const auto field = fields.find("details")) {
        for (const auto& [name, detail] : field->members()) {
            if (name == "plugins") {
                record.plugins = plugin_record(detail);
            }
        }
    }
    fields.refuse_others();
    return record;
}

std::optional<std::string> source_problem(const Manifest& manifest, const EngineRecord& record) {
    for (const std::string& name : {manifest.weights_file, manifest.init.file, manifest.step.file}) {
        const std::string& now = manifest.files.at(name).sha256;
        const auto source = record.source.find(name);
        const std::string then = source == record.source.end() ? "none" : source->second;
        if (then != now) {
            return "it was built from another " + one_line(name) + " (" + one_line(then).substr(0, 12) + ", now " +
                   now.substr(0, 12) + ")";
        }
    }
    return std::nullopt;
}

std::optional<std::string> host_problem(const EngineRecord& record, const EngineHost& host) {
    if (record.backend != host.backend) {
        return "its record is of " + in_quotes(record.backend);
    }
    if (!same_version(record.backend_version, host.backend_version) &&
        !(record.version_compatible() && is_earlier_minor(record.backend_version, host.backend_version))) {
        return "it was built by version " + one_line(record.backend_version) + ", this machine has " +
               host.backend_version;
    }
    if (record.machine != "any" && record.machine != host.machine) {
        return "it was built for " + one_line(record.machine) + ", this machine is " + host.machine;
    }
    const auto& built_for = record.compute_capabilities;
    if (host.compute_capability && !built_for.empty() &&
        std::find(built_for.begin(), built_for.end(), *host.compute_capability) == built_for.end()) {
        return "it was built for compute capability " + one_line(join(built_for, ", ")) + ", this GPU has " +
               *host.compute_capability;
    }
    return std::nullopt;
}

std::optional<std::string> engine_problem(const Bundle& bundle, const EngineRecord& record, const EngineHost& host) {
    const Manifest& manifest = bundle.manifest();
    if (auto problem = source_problem(manifest, record)) {
        return problem;
    }
    if (record.precision != manifest.precision) {
        return "its precision is " + in_quotes(record.precision) + ", the bundle's is " + manifest.precision;
    }
    if (auto problem = host_problem(record, host)) {
        return problem;
    }
    for (const auto& [name, expected] : record.files) {
        const fs::path folder = bundle.engine_folder(host.backend);
        if (const auto problem = file_problem(folder, name, expected, true, false)) {
            return "its file " + one_line(name) + " " + *problem;
        }
        if (!is_unlinked(folder, folder / name)) {
            return "its file " + one_line(name) + " is a link";
        }
    }
    if (record.files.empty()) {
        return "its record lists no files";
    }
    return std::nullopt;
}

[[noreturn]] void refuse(const Bundle& bundle, const std::string& backend, const std::string& problem) {
    throw EngineError(backend + " engine in " + bundle.path().string() + ": " + problem +
                      "; build it with: " + rebuild_command(bundle, backend));
}

}  // namespace

std::string EngineHost::this_machine() {
    utsname names{};
    return uname(&names) == 0 ? names.machine : "unknown";
}

std::string rebuild_command(const Bundle& bundle, const std::string& backend) {
    return "vpp-deploy build-engine " + bundle.path().string() + " --engine " + backend;
}

void check_engine_host(const Bundle& bundle, const EngineRecord& record, const EngineHost& host) {
    if (auto problem = host_problem(record, host)) {
        refuse(bundle, host.backend, *problem);
    }
}

EngineRecord read_engine_record(const Bundle& bundle, const EngineHost& host) {
    const fs::path path = bundle.engine_folder(host.backend) / "engine.json";
    const std::string advice = "; build it with: " + rebuild_command(bundle, host.backend);
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) {
        throw EngineError("bundle " + bundle.path().string() + " has no " + host.backend + " engine" + advice);
    }
    if (!is_unlinked(bundle.path(), path)) {
        throw EngineError(path.string() + " is a link, or reached through one" + advice);
    }
    EngineRecord record;
    try {
        record = record_of(read_json_file(path));
    } catch (const std::runtime_error& error) {
        throw EngineError(path.string() + " cannot be used (" + error.what() + ")" + advice);
    }
    if (const auto problem = engine_problem(bundle, record, host)) {
        refuse(bundle, host.backend, *problem);
    }
    return record;
}

}  // namespace vpp
