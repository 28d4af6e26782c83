#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "vpp/manifest.hpp"

namespace vpp {

/// Whether `name`, a file name from a manifest or an engine record, is a plain relative path that, links followed,
/// stays in `folder`. What has meaning on any system counts: `..`, drive letters, either slash in front.
///
/// @throws std::filesystem::filesystem_error the path cannot be followed, e.g. a link that leads to itself.
bool is_inside(const std::filesystem::path& folder, const std::string& name);

/// What is wrong with a listed file, e.g. "is missing"; nothing when it is as recorded. `hash`: also compare its
/// SHA-256.
std::optional<std::string> file_problem(const std::filesystem::path& folder, const std::string& name,
                                        const FileRecord& record, bool hash);

}  // namespace vpp
