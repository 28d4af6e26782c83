#include "vpp/mask.hpp"

#include <algorithm>
#include <cstring>

namespace vpp {
namespace {

/// The first column in [begin, end) of a row that is set, or `end`.
std::int64_t first_set(const std::uint8_t* row, std::int64_t begin, std::int64_t end) {
    const void* found = begin < end ? std::memchr(row + begin, 1, static_cast<std::size_t>(end - begin)) : nullptr;
    return found ? static_cast<const std::uint8_t*>(found) - row : end;
}

}  // namespace

Box tight_box(const Mask& mask) {
    return tight_box(mask, {0, 0, mask.size.width, mask.size.height});
}

Box tight_box(const Mask& mask, Box region) {
    Box box{region.x2, region.y2, region.x1, region.y1};
    for (std::int64_t y = region.y1; y < region.y2; ++y) {
        const std::uint8_t* row = mask.row(y);
        const std::int64_t first = first_set(row, region.x1, region.x2);
        if (first == region.x2) {
            continue;
        }
        std::int64_t last = region.x2;
        while (last > box.x2 && !row[last - 1]) {
            --last;
        }
        box = {std::min(box.x1, first), std::min(box.y1, y), std::max(box.x2, last), y + 1};
    }
    return box.y1 < box.y2 ? box : Box{};
}

std::int64_t count_pixels(const Mask& mask, Box region) {
    std::int64_t count = 0;
    for (std::int64_t y = region.y1; y < region.y2; ++y) {
        const std::uint8_t* row = mask.row(y);
        for (std::int64_t x = region.x1; x < region.x2; ++x) {
            count += row[x];
        }
    }
    return count;
}

}  // namespace vpp
