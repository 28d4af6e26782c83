#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vpp/mask.hpp"
#include "vpp/size.hpp"

namespace vpp {

/// One (query, class) pair of a frame. A query may appear several times, with different labels and the same mask.
struct Detection {
    std::int64_t query_index;          ///< among the learned queries followed by the track slots
    std::int64_t row;                  ///< row of the query in the arrays that it was decoded from
    std::int64_t label;                ///< class index
    float score;                       ///< class probability times mean mask probability, in [0, 1]
    Box box;                           ///< tight around the mask, in source pixels; zeros for an empty mask
    std::shared_ptr<const Mask> mask;  ///< at the source's size
};

/// The candidate queries of one frame, as an engine puts them out. Refers to arrays of the caller.
struct Candidates {
    std::int64_t count;                 ///< M
    std::int64_t classes;               ///< C, without "no object"
    Size mask_size;                     ///< h and w, over the whole padded model input
    const float* class_logits;          ///< `[M, C + 1]`; the last class is "no object"
    const float* mask_logits;           ///< `[M, h, w]`
    const std::int32_t* query_indices;  ///< `[M]`, among the learned queries followed by the track slots; all different
};

/// How a picture lies in the model input. All lengths in pixels.
struct FrameGeometry {
    Size padded;    ///< the model input
    Size content;   ///< the picture in its top-left corner
    Size original;  ///< the source picture
};

/// Turn candidate queries into detections at the source's size.
///
/// Mask logits are resized bilinearly to the padded size, cropped to the content and resized to the original size; a
/// mask is where the result is positive. Of all (query, class) pairs the `max_instances` most probable are kept. A
/// pair's score is its class probability × Σ(sigmoid·mask) / (Σmask + 1e-6).
///
/// @param max_instances pairs to keep, as many as there are learned and fed track queries.
/// @param score_floor `[M]`, or empty to keep every pair. Pairs of a row whose class probability does not exceed its
///     floor are left out before any mask is resized. No score exceeds its class probability, so this removes nothing
///     that a later test `score > floor` would keep.
/// @returns the detections in descending order of class probability; of equal ones the lower query index, then the
/// lower
///     class, comes first.
/// @throws UsageError the arrays disagree about M, or the sizes are impossible.
std::vector<Detection> decode_detections(const Candidates& candidates, const FrameGeometry& geometry,
                                         std::int64_t max_instances, const std::vector<float>& score_floor = {});

}  // namespace vpp
