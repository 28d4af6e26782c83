#pragma once

#include <cstddef>
#include <vector>

#include "vpp/mask.hpp"

namespace vpp {

/// The masks that survive: those that overlap no earlier survivor too much.
///
/// Overlap is (I + 1e-6) / (U + 1e-6) in float32, so two empty masks overlap fully. The pixel counts are exact, taken
/// only where the tight boxes of two masks meet.
///
/// @param masks all of one size, best first.
/// @param threshold a mask whose overlap with an earlier survivor exceeds this is suppressed.
/// @param kept_in_any_case so many masks at the front survive in any case.
/// @returns the ascending indices of the survivors.
std::vector<std::size_t> unsuppressed(const std::vector<const Mask*>& masks, double threshold,
                                      std::size_t kept_in_any_case = 0);

}  // namespace vpp
