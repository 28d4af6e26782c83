#pragma once

#include <string>

#include "vpp/error.hpp"
#include "vpp/size.hpp"

namespace vpp {

/// @throws UsageError a length of a picture is not in [1, 2^20]; beyond, numbers of bytes could overflow.
inline void require_picture(const char* what, Size size) {
    constexpr std::int64_t kLongest = std::int64_t{1} << 20;
    if (size.height < 1 || size.width < 1 || size.height > kLongest || size.width > kLongest) {
        throw UsageError(std::string(what) + " of " + std::to_string(size.height) + " x " + std::to_string(size.width) +
                         " pixels: give lengths from 1 to 2^20");
    }
}

}  // namespace vpp
