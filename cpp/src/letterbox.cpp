#include "vpp/letterbox.hpp"

#include <algorithm>
#include <cstring>

#include "size_check.hpp"

namespace vpp {
namespace {

constexpr std::int64_t kChannels = 3;

/// The two source pixels around a target pixel's centre, and the weight of the second, in [0, 1).
struct Tap {
    std::int64_t first;
    std::int64_t second;
    float weight;
};

std::vector<Tap> taps(std::int64_t source, std::int64_t target) {
    std::vector<Tap> taps;
    taps.reserve(static_cast<std::size_t>(target));
    const double scale = static_cast<double>(source) / static_cast<double>(target);
    for (std::int64_t n = 0; n < target; ++n) {
        const double centre = (static_cast<double>(n) + 0.5) * scale - 0.5;
        const double position = std::clamp(centre, 0.0, static_cast<double>(source - 1));
        const auto first = static_cast<std::int64_t>(position);
        taps.push_back(
            {first, std::min(first + 1, source - 1), static_cast<float>(position - static_cast<double>(first))});
    }
    return taps;
}

void blend_rows(const std::uint8_t* top, const std::uint8_t* bottom, float weight, std::vector<float>& row) {
    for (std::size_t n = 0; n < row.size(); ++n) {
        const float above = top[n];
        row[n] = above + (static_cast<float>(bottom[n]) - above) * weight;
    }
}

void blend_columns(const std::vector<float>& row, const std::vector<Tap>& across, std::uint8_t* target) {
    for (const Tap& tap : across) {
        const float* left = row.data() + tap.first * kChannels;
        const float* right = row.data() + tap.second * kChannels;
        for (int channel = 0; channel < kChannels; ++channel) {
            const float value = left[channel] + (right[channel] - left[channel]) * tap.weight;
            *target++ = static_cast<std::uint8_t>(value + 0.5F);
        }
    }
}

}  // namespace

Size content_size(Size original, Size size) {
    const double scale = std::min(static_cast<double>(size.height) / static_cast<double>(original.height),
                                  static_cast<double>(size.width) / static_cast<double>(original.width));
    const auto fit = [scale](std::int64_t length, std::int64_t limit) {
        const auto scaled = static_cast<std::int64_t>(static_cast<double>(length) * scale + 0.5);
        return std::min(limit, std::max<std::int64_t>(1, scaled));
    };
    return {fit(original.height, size.height), fit(original.width, size.width)};
}

Letterbox letterbox(const std::uint8_t* image, Size original, Size size) {
    require_picture("picture", original);
    require_picture("letterbox", size);
    const Size content = content_size(original, size);
    Letterbox result{std::vector<std::uint8_t>(static_cast<std::size_t>(size.area() * kChannels)), content};
    const std::int64_t source_stride = original.width * kChannels;
    const std::int64_t target_stride = size.width * kChannels;
    const std::vector<Tap> down = taps(original.height, content.height);
    const std::vector<Tap> across = taps(original.width, content.width);
    std::vector<float> row(static_cast<std::size_t>(source_stride));
    for (std::int64_t y = 0; y < content.height; ++y) {
        const Tap& tap = down[static_cast<std::size_t>(y)];
        std::uint8_t* target = result.image.data() + y * target_stride;
        if (content == original) {
            std::memcpy(target, image + y * source_stride, static_cast<std::size_t>(source_stride));
        } else {
            blend_rows(image + tap.first * source_stride, image + tap.second * source_stride, tap.weight, row);
            blend_columns(row, across, target);
        }
    }
    return result;
}

}  // namespace vpp
