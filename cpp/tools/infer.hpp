#pragma once

#include <cstdint>

#include "frame_reader.hpp"
#include "result_output.hpp"
#include "vpp/session.hpp"

namespace vpp {

/// Run a session over all frames. A result is written before the next frame is read, so a live source loses no time.
///
/// @param size of the frames.
/// @returns the number of frames.
/// @throws what `FrameReader::next`, `Session::step` and `ResultOutput` throw.
std::int64_t infer(Session& session, FrameReader& reader, Size size, ResultOutput& output);

}  // namespace vpp
