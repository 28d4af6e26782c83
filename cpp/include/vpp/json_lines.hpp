#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "vpp/results.hpp"

namespace vpp {

/// A frame's result as one line of JSON, without the line's end: the same fields as the Python package writes.
///
/// `index`, `time` (seconds or null), `name` (image folders only), `size` [height, width], `instances` (each:
/// `identity`, `label`, `class`, `score`, `box` [x1, y1, x2, y2], `segmentation` as COCO compressed RLE), `kept`
/// (positions per selection point), `keep_ratios`, `candidates_dropped`, `tracks_not_fed`, `seconds`.
///
/// @param class_names a name for each label (`Manifest::class_names`).
/// @throws UsageError a label without a name, or a number that is not finite, which JSON does not have.
std::string json_line(const FrameResult& result, const std::vector<std::string>& class_names);

class OutputFile;

/// One JSON object per frame and line.
///
/// The file appears under its name with `close`. Without it, for example when an exception ends the writer's scope, the
/// complete lines so far are kept as `<name>.partial`, and a file that had the name before is left alone; without a
/// line, nothing is kept.
class JsonLinesWriter {
  public:
    /// @param path the target; an existing file is replaced.
    /// @throws OutputError the target cannot be written.
    JsonLinesWriter(const std::filesystem::path& path, std::vector<std::string> class_names);
    JsonLinesWriter(const JsonLinesWriter&) = delete;
    JsonLinesWriter& operator=(const JsonLinesWriter&) = delete;
    ~JsonLinesWriter();

    /// Append a frame.
    ///
    /// @throws OutputError writing failed, for example on a full disk. UsageError: see `json_line`.
    void write(const FrameResult& result);

    /// Finish the file and give it its name.
    ///
    /// @throws OutputError writing failed.
    void close();

  private:
    std::vector<std::string> class_names_;
    std::unique_ptr<OutputFile> output_;
    std::ofstream file_;
    std::uintmax_t complete_bytes_ = 0;
};

}  // namespace vpp
