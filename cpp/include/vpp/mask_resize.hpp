#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vpp/mask.hpp"
#include "vpp/size.hpp"

namespace vpp {

/// A half-open range of positions along an axis.
struct Range {
    std::int64_t start = 0;
    std::int64_t stop = 0;

    bool empty() const { return start >= stop; }
};

/// Resizing mask logits along one axis: to the padded model input, then, after cropping the padding away, to the source
/// picture. Both are bilinear, so each output is a sum of at most four inputs with fixed positive weights.
class AxisResize {
  public:
    /// One output: `count` inputs, ascending, and their weights, which sum to 1.
    struct Taps {
        std::array<std::int64_t, 4> inputs{};
        std::array<float, 4> weights{};
        std::size_t count = 0;

        std::int64_t first() const { return inputs[0]; }
        std::int64_t last() const { return inputs[count - 1]; }
    };

    /// @param logits length of the axis in the mask logits.
    /// @param padded length in pixels in the padded model input.
    /// @param content length in pixels of the picture inside it, from the start of the axis.
    /// @param original length in pixels in the source picture.
    /// @throws UsageError a length is not positive, or the content is longer than the padded input.
    AxisResize(std::int64_t logits, std::int64_t padded, std::int64_t content, std::int64_t original);

    const Taps& taps(std::int64_t output) const { return outputs_[static_cast<std::size_t>(output)]; }

    /// The outputs between the first and the last that depends on an input between `first` and `last`, inclusive.
    Range reached(std::int64_t first, std::int64_t last) const;

    /// The inputs that a non-empty range of outputs depends on.
    Range support(Range outputs) const { return {taps(outputs.start).first(), taps(outputs.stop - 1).last() + 1}; }

  private:
    std::vector<Taps> outputs_;
};

/// What the scores and boxes need to know about one mask.
struct MaskSummary {
    double mean_probability = 0;  ///< Σ(sigmoid·mask) / (Σmask + 1e-6), in [0, 1)
    Box box;                      ///< the tight box in pixels
};

/// Resize one query's mask logits and write where they are positive.
///
/// A pixel can only be inside a mask if a logit under it is positive; everything else is skipped.
///
/// @param logits `[h, w]`, finite.
/// @param size h and w, which `rows` and `columns` were made for.
/// @param mask all zeros, of the size that `rows` and `columns` resize to; receives the mask.
MaskSummary resize_mask(const float* logits, Size size, const AxisResize& rows, const AxisResize& columns, Mask& mask);

}  // namespace vpp
