#pragma once

#include "vpp/manifest.hpp"

namespace vpp {

/// Hold a bundle's graphs to what a video session feeds and reads.
///
/// @throws UsageError the bundle takes selection noise.
/// @throws BundleError an input or output is missing, unknown, or has another dtype or shape.
void check_session_contract(const Manifest& manifest);

/// @throws BundleError what the manifest says would take more than `most` bytes of memory.
void check_memory(const Manifest& manifest, std::size_t most);

}  // namespace vpp
