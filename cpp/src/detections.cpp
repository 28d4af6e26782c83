#include "vpp/detections.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "size_check.hpp"
#include "vpp/error.hpp"
#include "vpp/mask_resize.hpp"

namespace vpp {
namespace {

struct Pair {
    std::int64_t row;
    std::int64_t label;
    float probability;
};

/// Class probabilities `[C]` of one row of logits `[C + 1]`; all NaN if a logit is NaN.
std::vector<float> softmax_without_last(const float* logits, std::int64_t classes) {
    const float largest = *std::max_element(logits, logits + classes + 1);
    std::vector<float> exponentials;
    float sum = 0;
    for (std::int64_t label = 0; label <= classes; ++label) {
        exponentials.push_back(std::exp(logits[label] - largest));
        sum += exponentials.back();
    }
    exponentials.pop_back();
    for (float& exponential : exponentials) {
        exponential /= sum;
    }
    return exponentials;
}

/// The `count` most probable pairs, descending; NaN comes last.
std::vector<Pair> most_probable_pairs(const Candidates& candidates, std::int64_t count) {
    std::vector<Pair> pairs;
    pairs.reserve(static_cast<std::size_t>(candidates.count * candidates.classes));
    for (std::int64_t row = 0; row < candidates.count; ++row) {
        const float* logits = candidates.class_logits + row * (candidates.classes + 1);
        const std::vector<float> probabilities = softmax_without_last(logits, candidates.classes);
        for (std::int64_t label = 0; label < candidates.classes; ++label) {
            pairs.push_back({row, label, probabilities[static_cast<std::size_t>(label)]});
        }
    }
    const auto rank = [&candidates](const Pair& pair) {
        const float descending = std::isnan(pair.probability) ? 1.0F : -pair.probability;
        return std::tuple(descending, candidates.query_indices[pair.row], pair.label);
    };
    const auto kept = static_cast<std::ptrdiff_t>(std::min<std::size_t>(pairs.size(), static_cast<std::size_t>(count)));
    std::partial_sort(pairs.begin(), pairs.begin() + kept, pairs.end(),
                      [&rank](const Pair& a, const Pair& b) { return rank(a) < rank(b); });
    pairs.resize(static_cast<std::size_t>(kept));
    return pairs;
}

void check(const Candidates& candidates, const FrameGeometry& geometry, std::int64_t max_instances,
           const std::vector<float>& score_floor) {
    require_picture("mask logits", candidates.mask_size);
    require_picture("model input", geometry.padded);
    require_picture("source picture", geometry.original);
    if (candidates.count < 0 || candidates.classes < 1 || max_instances < 0) {
        throw UsageError("candidates: " + std::to_string(candidates.count) + " rows of " +
                         std::to_string(candidates.classes) + " classes, of which " + std::to_string(max_instances) +
                         " are kept; give counts that are not negative, and at least one class");
    }
    if (!score_floor.empty() && static_cast<std::int64_t>(score_floor.size()) != candidates.count) {
        throw UsageError("candidates: " + std::to_string(candidates.count) + " rows and " +
                         std::to_string(score_floor.size()) + " score floors; give one of each per candidate");
    }
}

/// What all pairs of one query share.
struct DecodedMask {
    std::shared_ptr<const Mask> mask;
    MaskSummary summary;
};

}  // namespace

std::vector<Detection> decode_detections(const Candidates& candidates, const FrameGeometry& geometry,
                                         std::int64_t max_instances, const std::vector<float>& score_floor) {
    check(candidates, geometry, max_instances, score_floor);
    const auto [padded, content, original] = geometry;
    const Size logits_size = candidates.mask_size;
    const AxisResize rows(logits_size.height, padded.height, content.height, original.height);
    const AxisResize columns(logits_size.width, padded.width, content.width, original.width);
    const auto decode = [&, original = original](std::int64_t row) {
        auto mask = std::make_shared<Mask>(
            Mask{original, std::vector<std::uint8_t>(static_cast<std::size_t>(original.area()))});
        const float* logits = candidates.mask_logits + row * logits_size.area();
        const MaskSummary summary = resize_mask(logits, logits_size, rows, columns, *mask);
        return DecodedMask{std::move(mask), summary};
    };

    std::map<std::int64_t, DecodedMask> decoded;
    std::vector<Detection> detections;
    for (const Pair& pair : most_probable_pairs(candidates, max_instances)) {
        if (!score_floor.empty() && !(pair.probability > score_floor[static_cast<std::size_t>(pair.row)])) {
            continue;
        }
        auto known = decoded.find(pair.row);
        if (known == decoded.end()) {
            known = decoded.emplace(pair.row, decode(pair.row)).first;
        }
        const auto& [mask, summary] = known->second;
        detections.push_back({candidates.query_indices[pair.row], pair.row, pair.label,
                              pair.probability * static_cast<float>(summary.mean_probability), summary.box, mask});
    }
    return detections;
}

}  // namespace vpp
