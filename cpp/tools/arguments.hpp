#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vpp/size.hpp"

namespace vpp {

/// What `vpp_infer` is asked for.
struct Arguments {
    bool help = false;  ///< nothing else counts then
    std::filesystem::path bundle;
    Size size;                 ///< of the frames, in pixels
    std::string frames = "-";  ///< file of raw frames; "-": standard input
    std::string output = "-";  ///< file of JSON lines; "-": standard output
    std::optional<std::int64_t> max_frames;
    std::optional<std::filesystem::path> plugin_library;
    std::filesystem::path tensorrt_library;
    bool cuda_graph = true;
};

/// @param words the command line, without the program's name.
/// @throws UsageError an option is unknown, a value is missing or wrong, or the output would overwrite the frames.
Arguments parse_arguments(const std::vector<std::string>& words);

/// The help page.
extern const char* const kHelp;

}  // namespace vpp
