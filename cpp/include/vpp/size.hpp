#pragma once

#include <cstdint>

namespace vpp {

/// Height and width in pixels or tokens, in this order.
struct Size {
    std::int64_t height = 0;
    std::int64_t width = 0;

    /// Number of pixels.
    std::int64_t area() const { return height * width; }
};

inline bool operator==(Size a, Size b) {
    return a.height == b.height && a.width == b.width;
}
inline bool operator!=(Size a, Size b) {
    return !(a == b);
}

}  // namespace vpp
