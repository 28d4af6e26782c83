#pragma once

#include <string>

#include "vpp/mask.hpp"

namespace vpp {

/// The `counts` of a mask in COCO's compressed run-length encoding, as pycocotools writes it: runs of zeros and ones in
/// turn, column by column, each less the run before the last, in base 32 of printable characters.
std::string rle_counts(const Mask& mask);

}  // namespace vpp
