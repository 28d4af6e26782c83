#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vpp/size.hpp"

namespace vpp {

/// Raw RGB24 frames of one size from a file or a pipe.
class FrameReader {
  public:
    /// @param path a file; "-": standard input.
    /// @param size of every frame.
    /// @param max_frames end after so many.
    /// @throws VideoError the file cannot be opened.
    FrameReader(const std::string& path, Size size, std::optional<std::int64_t> max_frames = std::nullopt);
    FrameReader(const FrameReader&) = delete;
    FrameReader& operator=(const FrameReader&) = delete;
    ~FrameReader();

    /// Read the next frame; waits for a pipe.
    ///
    /// @returns its pixels `[H, W, 3]`, valid until the next call; nullptr after the last frame.
    /// @throws VideoError reading failed, there is no frame at all, or the input ends within a frame.
    /// @throws Interrupted Ctrl-C; see `catch_interrupts`.
    const std::uint8_t* next();

  private:
    std::size_t read_frame();
    [[noreturn]] void fail_with(int error) const;

    std::string name_;
    Size size_;
    std::optional<std::int64_t> max_frames_;
    int descriptor_;
    std::int64_t frames_ = 0;
    std::vector<std::uint8_t> pixels_;
};

}  // namespace vpp
