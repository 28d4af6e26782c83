#include "vpp/plugin_library.hpp"

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "text.hpp"
#include "vpp/error.hpp"
#include "vpp/sha256.hpp"

namespace vpp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFile = "libvpp_plugins.so";
constexpr const char* kPathVariable = "VPP_DEPLOY_PLUGIN_PATH";
constexpr const char* kCompileCommand =
    "cmake -S plugins -B build/plugins -DTENSORRT_INCLUDE_DIR=FOLDER && "
    "cmake --build build/plugins --target vpp_plugins";

struct Library {
    fs::path path;
    std::string sha256;
    std::string version;
};

std::string identity(const std::string& version, const std::string& sha256) {
    return "version " + one_line(version) + ", sha256 " + one_line(sha256.substr(0, 12)) + "…";
}

std::vector<fs::path> candidates(const std::optional<fs::path>& given) {
    std::vector<fs::path> paths;
    const char* variable = std::getenv(kPathVariable);
    std::istringstream entries(given ? "" : variable ? variable : "");
    if (given) {
        paths.push_back(*given);
    }
    for (std::string entry; std::getline(entries, entry, ':');) {
        if (!entry.empty()) {
            paths.emplace_back(entry);
        }
    }
    std::error_code ignored;
    for (fs::path& path : paths) {
        if (fs::is_directory(path, ignored)) {
            path /= kFile;
        }
    }
    return paths;
}

/// What follows `vpp_plugins_version=` in a plugin library, up to a zero byte; empty if there is no such text.
std::string version_in(const std::string& content) {
    constexpr std::string_view kMark = "vpp_plugins_version=";
    constexpr std::size_t kLongest = 64;
    for (std::size_t at = content.find(kMark); at != std::string::npos; at = content.find(kMark, at + 1)) {
        const std::size_t begin = at + kMark.size();
        std::size_t end = begin;
        while (end < content.size() && (std::isalnum(static_cast<unsigned char>(content[end])) != 0 ||
                                        std::string_view("_.+!-").find(content[end]) != std::string_view::npos)) {
            ++end;
        }
        if (end > begin && end - begin <= kLongest && end < content.size() && content[end] == '\0') {
            return content.substr(begin, end - begin);
        }
    }
    return "";
}

/// Looks into a file, without loading it.
Library read_library(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.is_open() || file.bad()) {
        throw PluginError("plugin library " + path.string() + " cannot be read; make one with: " + kCompileCommand);
    }
    const std::string version = version_in(content);
    if (content.compare(0, 4, "\177ELF") != 0 || version.empty()) {
        throw PluginError(path.string() + " is not a plugin library of vpp-deploy; make one with: " + kCompileCommand);
    }
    Sha256 hash;
    hash.update(content.data(), content.size());
    return {path, hash.finish(), version};
}

std::string looked_at(const std::vector<fs::path>& paths) {
    std::vector<std::string> names;
    for (const fs::path& path : paths) {
        names.push_back(path.string());
    }
    return names.empty() ? "$" + std::string(kPathVariable) + " is not set" : "looked at " + join(names, ", ");
}

}  // namespace

fs::path find_plugin_library(const PluginRecord& record, const std::optional<fs::path>& given,
                             const std::string& build_command) {
    const std::vector<fs::path> paths = candidates(given);
    std::vector<Library> found;
    std::error_code ignored;
    for (const fs::path& path : paths) {
        if (fs::is_regular_file(path, ignored)) {
            found.push_back(read_library(path));
        }
    }
    std::vector<std::string> others;
    for (const Library& library : found) {
        if (library.sha256 == record.sha256) {
            return fs::absolute(library.path);
        }
        others.push_back(library.path.string() + " (" + identity(library.version, library.sha256) + ")");
    }
    const std::string needed = "the engine needs the plugin library that it was built with, " + one_line(record.file) +
                               " " + identity(record.version, record.sha256);
    if (others.empty()) {
        throw PluginError(needed + "; " + looked_at(paths) + "; say where it is with: export " + kPathVariable +
                          "=FOLDER, or build an engine without it: " + build_command + " --plugins none");
    }
    throw PluginError(needed + ", and found another: " + join(others, ", ") +
                      "; give the right one, or build the engine again: " + build_command);
}

}  // namespace vpp
