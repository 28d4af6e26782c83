#pragma once

#include <cstdint>
#include <vector>

#include "vpp/size.hpp"

namespace vpp {

/// A binary mask at the source's size.
struct Mask {
    Size size;
    std::vector<std::uint8_t> pixels;  ///< `[H, W]`, row by row; 0 or 1

    const std::uint8_t* row(std::int64_t y) const { return pixels.data() + y * size.width; }
    std::uint8_t* row(std::int64_t y) { return pixels.data() + y * size.width; }
};

/// x1, y1, x2, y2 in pixels; x2 and y2 are exclusive.
struct Box {
    std::int64_t x1 = 0;
    std::int64_t y1 = 0;
    std::int64_t x2 = 0;
    std::int64_t y2 = 0;
};

/// The smallest box around a mask; zeros for an empty mask.
Box tight_box(const Mask& mask);

/// The same for a mask that is empty outside `region`.
Box tight_box(const Mask& mask, Box region);

/// Number of pixels of a mask inside `region`.
std::int64_t count_pixels(const Mask& mask, Box region);

}  // namespace vpp
