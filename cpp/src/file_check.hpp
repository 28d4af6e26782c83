#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "vpp/manifest.hpp"

namespace vpp {

/// Whether no part of `path` below `folder` is a link; the folder itself may be reached through one.
bool is_unlinked(const std::filesystem::path& folder, const std::filesystem::path& path);

/// What is wrong with a listed file, e.g. "is missing"; nothing when it is as recorded.
///
/// @param name from a manifest or an engine record. It must be a plain relative path: what has meaning on any system
///     counts, `..`, drive letters, either slash in front.
/// @param hash also compare its SHA-256.
/// @param links_out take a file that links lead out of the folder to, such as a blob of a cache, if its hash is right.
std::optional<std::string> file_problem(const std::filesystem::path& folder, const std::string& name,
                                        const FileRecord& record, bool hash, bool links_out);

}  // namespace vpp
