#pragma once

#include <cstdint>
#include <vector>

#include "vpp/size.hpp"

namespace vpp {

/// A picture in the model's fixed input size.
struct Letterbox {
    std::vector<std::uint8_t> image;  ///< `[H, W, 3]` RGB; the picture is top-left, the rest is zero
    Size content;                     ///< height and width of the picture inside it
};

/// Scale a picture to fill `size` as far as its aspect ratio allows.
///
/// Bilinear, without antialiasing, half-pixel centres, clamped at the edges, rounded half up; byte for byte what
/// `vpp_deploy.media.letterbox` gives.
///
/// @param image `[H0, W0, 3]` RGB, rows without gaps.
/// @param original H0 and W0.
/// @param size height and width of the result.
/// @throws UsageError a length is not in [1, 2^20].
Letterbox letterbox(const std::uint8_t* image, Size original, Size size);

/// Height and width that a picture of the size `original` takes up inside `size`; each is at least 1.
Size content_size(Size original, Size size);

}  // namespace vpp
