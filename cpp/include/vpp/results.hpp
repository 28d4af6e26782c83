#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vpp/mask.hpp"
#include "vpp/size.hpp"

namespace vpp {

/// A tracked object in one frame.
struct Instance {
    std::int64_t identity;             ///< the track number, unique in the stream; numbers may have gaps
    std::int64_t label;                ///< index into the bundle's class names
    float score;                       ///< class probability times mean mask probability, in [0, 1]
    Box box;                           ///< tight around the mask, in source pixels; zeros for an empty mask
    std::shared_ptr<const Mask> mask;  ///< at the source's size
};

/// The kept token positions of one selection point.
struct KeptTokens {
    std::string point;                    ///< name of the selection point
    std::vector<std::int32_t> positions;  ///< `[K]` ascending, row-major on the token grid
};

/// One frame's outcome.
struct FrameResult {
    std::int64_t index = 0;      ///< position of the frame in the stream, from 0
    std::optional<double> time;  ///< presentation time in seconds
    std::string name;            ///< file name of a frame from an image folder, else empty
    Size original_size;          ///< of the source frame in pixels
    std::vector<Instance> instances;
    std::vector<KeptTokens> kept;
    Size grid;                              ///< rows and columns of the model's token grid
    std::int64_t candidates_dropped = 0;    ///< queries that could have mattered but did not fit `max_detections`
    std::int64_t tracks_not_fed = 0;        ///< tracks in memory that did not fit `max_tracks`
    std::map<std::string, double> seconds;  ///< wall time of this frame by part
};

}  // namespace vpp
