#include "vpp/rle.hpp"

#include <cstdint>
#include <vector>

namespace vpp {
namespace {

/// Lengths of the runs of zeros, ones, zeros, … of a mask read column by column.
std::vector<std::int64_t> runs(const Mask& mask) {
    const auto [height, width] = mask.size;
    const Box box = tight_box(mask);
    std::vector<std::int64_t> runs;
    std::int64_t run_start = 0;
    std::uint8_t value = 0;
    const auto change = [&](std::int64_t position) {
        runs.push_back(position - run_start);
        run_start = position;
        value ^= 1;
    };
    for (std::int64_t x = box.x1; x < box.x2; ++x) {
        if (value && box.y1 > 0) {
            change(x * height);
        }
        for (std::int64_t y = box.y1; y < box.y2; ++y) {
            if (mask.row(y)[x] != value) {
                change(x * height + y);
            }
        }
        if (value && box.y2 < height) {
            change(x * height + box.y2);
        }
    }
    if (value && box.x2 < width) {
        change(box.x2 * height);
    }
    runs.push_back(mask.size.area() - run_start);
    return runs;
}

/// Five bits a character from the lowest on, 32 added where more follow; the sign is that of the last one's highest
/// bit.
void append_number(std::int64_t number, std::string& text) {
    bool more = true;
    while (more) {
        std::int64_t digit = number & 31;
        number >>= 5;
        more = (digit & 16) ? number != -1 : number != 0;
        text += static_cast<char>('0' + digit + (more ? 32 : 0));
    }
}

}  // namespace

std::string rle_counts(const Mask& mask) {
    const std::vector<std::int64_t> lengths = runs(mask);
    std::string counts;
    for (std::size_t n = 0; n < lengths.size(); ++n) {
        append_number(n > 2 ? lengths[n] - lengths[n - 2] : lengths[n], counts);
    }
    return counts;
}

}  // namespace vpp
