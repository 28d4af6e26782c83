#pragma once

#include "arrays.hpp"
#include "vpp/size.hpp"

namespace vpp::check {

/// The first two of a list of lengths.
inline Size size_of(const Json& lengths) {
    return {lengths.at(0), lengths.at(1)};
}

}  // namespace vpp::check
