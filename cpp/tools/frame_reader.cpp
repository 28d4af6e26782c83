#include "frame_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "interrupt.hpp"
#include "vpp/error.hpp"

namespace vpp {

FrameReader::FrameReader(const std::string& path, Size size, std::optional<std::int64_t> max_frames)
    : name_(path == "-" ? "standard input" : path),
      size_(size),
      max_frames_(max_frames),
      descriptor_(path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) {
        fail_with(errno);
    }
    pixels_.resize(static_cast<std::size_t>(3 * size.area()));
}

FrameReader::~FrameReader() {
    if (descriptor_ != STDIN_FILENO) {
        close(descriptor_);
    }
}

const std::uint8_t* FrameReader::next() {
    if (frames_ == max_frames_) {
        return nullptr;
    }
    const std::size_t bytes = read_frame();
    if (bytes == pixels_.size()) {
        ++frames_;
        return pixels_.data();
    }
    if (bytes > 0) {
        throw VideoError(name_ + " ends within frame " + std::to_string(frames_) + ", after " + std::to_string(bytes) +
                         " of " + std::to_string(pixels_.size()) + " bytes; is --size " + std::to_string(size_.height) +
                         "x" + std::to_string(size_.width) + " right, and the input RGB24?");
    }
    if (frames_ == 0) {
        throw VideoError(name_ + " holds no frames; give raw RGB24 frames");
    }
    return nullptr;
}

/// Bytes of the next frame that there are.
std::size_t FrameReader::read_frame() {
    std::size_t bytes = 0;
    while (bytes < pixels_.size()) {
        throw_if_interrupted();
        const ssize_t more = read(descriptor_, pixels_.data() + bytes, pixels_.size() - bytes);
        if (more == 0) {
            break;
        }
        if (more < 0 && errno != EINTR) {
            fail_with(errno);
        }
        bytes += more > 0 ? static_cast<std::size_t>(more) : 0;
    }
    return bytes;
}

void FrameReader::fail_with(int error) const {
    throw VideoError(name_ + " cannot be read: " + std::error_code(error, std::generic_category()).message() +
                     "; give a file of raw RGB24 frames");
}

}  // namespace vpp
