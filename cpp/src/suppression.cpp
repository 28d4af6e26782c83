#include "vpp/suppression.hpp"

#include <algorithm>

namespace vpp {
namespace {

/// A mask with what makes most overlaps cheap to rule out.
struct Outline {
    const Mask* mask;
    Box box;
    std::int64_t area;
};

Outline outline(const Mask& mask) {
    const Box box = tight_box(mask);
    return {&mask, box, count_pixels(mask, box)};
}

/// Pixels that both masks cover.
std::int64_t intersection(const Outline& a, const Outline& b) {
    const std::int64_t x1 = std::max(a.box.x1, b.box.x1);
    const std::int64_t x2 = std::min(a.box.x2, b.box.x2);
    std::int64_t count = 0;
    for (std::int64_t y = std::max(a.box.y1, b.box.y1); y < std::min(a.box.y2, b.box.y2); ++y) {
        const std::uint8_t* one = a.mask->row(y);
        const std::uint8_t* other = b.mask->row(y);
        for (std::int64_t x = x1; x < x2; ++x) {
            count += one[x] & other[x];
        }
    }
    return count;
}

float overlap(const Outline& a, const Outline& b) {
    constexpr float kEpsilon = 1e-6F;
    const std::int64_t both = intersection(a, b);
    const std::int64_t either = a.area + b.area - both;
    return (static_cast<float>(both) + kEpsilon) / (static_cast<float>(either) + kEpsilon);
}

}  // namespace

std::vector<std::size_t> unsuppressed(const std::vector<const Mask*>& masks, double threshold,
                                      std::size_t kept_in_any_case) {
    std::vector<std::size_t> survivors;
    std::vector<Outline> outlines;
    for (std::size_t n = 0; n < masks.size(); ++n) {
        const Outline current = outline(*masks[n]);
        const auto suppresses = [&current, limit = static_cast<float>(threshold)](const Outline& earlier) {
            return overlap(current, earlier) > limit;
        };
        if (n < kept_in_any_case || std::none_of(outlines.begin(), outlines.end(), suppresses)) {
            survivors.push_back(n);
            outlines.push_back(current);
        }
    }
    return survivors;
}

}  // namespace vpp
