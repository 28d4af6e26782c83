#pragma once

#include <vector>

#include "arrays.hpp"
#include "sizes.hpp"
#include "vpp/detections.hpp"

namespace vpp::check {

/// Candidates of a case, with their arrays.
class CandidateArrays {
  public:
    CandidateArrays(const Json& input, const ArrayFile& arrays)
        : class_logits_(arrays.read<float>(input.at("class_logits"))),
          mask_logits_(arrays.read<float>(input.at("mask_logits"))),
          query_indices_(arrays.read<std::int32_t>(input.at("query_indices"))) {
        const Json& classes = input.at("class_logits").at("shape");
        const Json& masks = input.at("mask_logits").at("shape");
        view_ = {classes.at(0),
                 classes.at(1).get<std::int64_t>() - 1,
                 {masks.at(1), masks.at(2)},
                 class_logits_.data(),
                 mask_logits_.data(),
                 query_indices_.data()};
        geometry_ = {size_of(input.at("padded")), size_of(input.at("content")), size_of(input.at("original"))};
    }
    CandidateArrays(const CandidateArrays&) = delete;
    CandidateArrays& operator=(const CandidateArrays&) = delete;

    const Candidates& view() const { return view_; }
    const FrameGeometry& geometry() const { return geometry_; }
    const std::vector<std::int32_t>& query_indices() const { return query_indices_; }

  private:
    std::vector<float> class_logits_;
    std::vector<float> mask_logits_;
    std::vector<std::int32_t> query_indices_;
    Candidates view_{};
    FrameGeometry geometry_;
};

/// The masks of detections or instances, as an array `[n, H, W]` uint8.
template <class Element>
Json append_masks(const std::vector<Element>& elements, ArrayFile& results) {
    std::vector<std::uint8_t> pixels;
    Size size;
    for (const Element& element : elements) {
        size = element.mask->size;
        pixels.insert(pixels.end(), element.mask->pixels.begin(), element.mask->pixels.end());
    }
    return results.append(pixels, {static_cast<std::int64_t>(elements.size()), size.height, size.width});
}

inline Json box_json(const Box& box) {
    return {box.x1, box.y1, box.x2, box.y2};
}

}  // namespace vpp::check
