#include "file_check.hpp"

#include <algorithm>
#include <system_error>

#include "vpp/sha256.hpp"

namespace vpp {
namespace fs = std::filesystem;
namespace {

/// `name` without empty and `.` parts, so that a slash at the end means nothing.
fs::path relative_path(const std::string& name) {
    fs::path path;
    for (const fs::path& part : fs::path(name)) {
        if (part != ".") {
            path /= part;
        }
    }
    return path.has_filename() ? path : path.parent_path();
}

bool has_part_above(const std::string& name) {
    std::string slashes = name;
    std::replace(slashes.begin(), slashes.end(), '\\', '/');
    const fs::path path(slashes);
    return std::find(path.begin(), path.end(), "..") != path.end();
}

bool is_plain(const std::string& name) {
    const bool is_rooted = !name.empty() && (name[0] == '/' || name[0] == '\\');
    const bool has_drive = name.size() > 1 && name[1] == ':';
    return !is_rooted && !has_drive && !has_part_above(name);
}

/// Whether a file is in `folder`, links followed.
///
/// @throws std::filesystem::filesystem_error the path cannot be followed, e.g. a link that leads to itself.
bool is_inside(const fs::path& folder, const std::string& name) {
    const fs::path root = fs::canonical(folder);
    const fs::path target = fs::weakly_canonical(root / relative_path(name));
    return std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first == root.end();
}

}  // namespace

bool is_unlinked(const fs::path& folder, const fs::path& path) {
    std::error_code failed;
    const fs::path root = fs::canonical(folder, failed);
    if (failed) {
        return false;
    }
    const fs::path target = fs::weakly_canonical(path, failed);
    return !failed && target == root / path.lexically_relative(folder);
}

std::optional<std::string> file_problem(const fs::path& folder, const std::string& name, const FileRecord& record,
                                        bool hash, bool links_out) {
    if (name.find('\0') != std::string::npos) {
        return "cannot be read (its name holds a zero byte)";
    }
    try {
        if (!is_plain(name)) {
            return "lies outside the folder";
        }
        if (!(links_out && hash) && !is_inside(folder, name)) {
            return "lies outside the folder, by a link: copy the folder with its links followed (cp -RL)";
        }
        const fs::path path = folder / relative_path(name);
        if (!fs::is_regular_file(path)) {
            return "is missing";
        }
        const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
        if (bytes != record.bytes) {
            return "has " + std::to_string(bytes) + " bytes, the record says " + std::to_string(record.bytes);
        }
        if (hash) {
            const std::string digest = sha256_of_file(path);
            if (digest != record.sha256) {
                return "was altered (sha256 " + digest.substr(0, 12) + "…, the record says " +
                       record.sha256.substr(0, 12) + "…)";
            }
        }
    } catch (const fs::filesystem_error& error) {
        return "cannot be read (" + error.code().message() + ")";
    }
    return std::nullopt;
}

}  // namespace vpp
