#include "vpp/mask_resize.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "vpp/error.hpp"

namespace vpp {
namespace {

/// Bilinear interpolation at one output: the second input may equal the first.
struct Interpolation {
    std::int64_t inputs[2];
    double weights[2];
};

/// Half-pixel centres. The coordinates are computed in float32, as PyTorch does, to decide borderline pixels alike.
Interpolation bilinear(std::int64_t inputs, std::int64_t outputs, std::int64_t output) {
    const float scale = static_cast<float>(inputs) / static_cast<float>(outputs);
    const float position = std::max(scale * (static_cast<float>(output) + 0.5F) - 0.5F, 0.0F);
    const std::int64_t lower = std::min(static_cast<std::int64_t>(position), inputs - 1);
    const float fraction = position - static_cast<float>(lower);
    return {{lower, std::min(lower + 1, inputs - 1)}, {1.0F - fraction, fraction}};
}

/// The range of rows or columns of a picture that holds everything positive.
struct Extent {
    std::int64_t first;
    std::int64_t last = -1;

    void add(std::int64_t position) {
        first = std::min(first, position);
        last = std::max(last, position);
    }
};

/// Rows and columns of `logits` with a positive value.
std::pair<Extent, Extent> positive_extent(const float* logits, Size size) {
    Extent rows{size.height};
    Extent columns{size.width};
    for (std::int64_t y = 0; y < size.height; ++y) {
        const float* row = logits + y * size.width;
        const auto is_positive = [](float logit) { return logit > 0; };
        const float* first = std::find_if(row, row + size.width, is_positive);
        if (first == row + size.width) {
            continue;
        }
        rows.add(y);
        columns.add(first - row);
        std::int64_t last = size.width - 1;
        while (last > columns.last && !is_positive(row[last])) {
            --last;
        }
        columns.add(last);
    }
    return {rows, columns};
}

/// Rows `support` of the logits, resized to the columns `outputs`: `[support, outputs]`.
std::vector<float> widen(const float* logits, std::int64_t width, Range support, const AxisResize& columns,
                         Range outputs) {
    std::vector<float> widened;
    widened.reserve(static_cast<std::size_t>((support.stop - support.start) * (outputs.stop - outputs.start)));
    for (std::int64_t y = support.start; y < support.stop; ++y) {
        const float* row = logits + y * width;
        for (std::int64_t x = outputs.start; x < outputs.stop; ++x) {
            const AxisResize::Taps& taps = columns.taps(x);
            float sum = 0;
            for (std::size_t n = 0; n < taps.count; ++n) {
                sum += taps.weights[n] * row[taps.inputs[n]];
            }
            widened.push_back(sum);
        }
    }
    return widened;
}

/// One output row: the weighted sum of the rows of `widened` under it, of which the first is input row `first_input`.
void blend_rows(const std::vector<float>& widened, std::int64_t first_input, const AxisResize::Taps& taps,
                std::vector<float>& line) {
    const auto width = static_cast<std::int64_t>(line.size());
    for (std::size_t n = 0; n < taps.count; ++n) {
        const float weight = taps.weights[n];
        const float* row = widened.data() + (taps.inputs[n] - first_input) * width;
        for (std::size_t x = 0; x < line.size(); ++x) {
            line[x] = n == 0 ? weight * row[x] : line[x] + weight * row[x];
        }
    }
}

/// Marks where a row of logits is positive; gives Σ sigmoid there.
double mark_positive(const std::vector<float>& line, std::uint8_t* mask) {
    double sum = 0;
    for (std::size_t x = 0; x < line.size(); ++x) {
        mask[x] = line[x] > 0;
        if (mask[x]) {
            sum += 1 / (1 + std::exp(-line[x]));
        }
    }
    return sum;
}

}  // namespace

AxisResize::AxisResize(std::int64_t logits, std::int64_t padded, std::int64_t content, std::int64_t original) {
    if (std::min({logits, padded, content, original}) < 1 || content > padded) {
        throw UsageError("axis lengths must be positive, with content <= padded: got logits " + std::to_string(logits) +
                         ", padded " + std::to_string(padded) + ", content " + std::to_string(content) + ", original " +
                         std::to_string(original));
    }
    outputs_.resize(static_cast<std::size_t>(original));
    for (std::int64_t output = 0; output < original; ++output) {
        Taps& taps = outputs_[static_cast<std::size_t>(output)];
        std::array<double, 4> weights{};
        const Interpolation outer = bilinear(content, original, output);
        for (int n = 0; n < 2; ++n) {
            const Interpolation inner = bilinear(logits, padded, outer.inputs[n]);
            for (int m = 0; m < 2; ++m) {
                const double weight = outer.weights[n] * inner.weights[m];
                if (weight > 0) {
                    const auto known = taps.inputs.begin() + static_cast<std::ptrdiff_t>(taps.count);
                    const auto tap = std::find(taps.inputs.begin(), known, inner.inputs[m]) - taps.inputs.begin();
                    taps.inputs[static_cast<std::size_t>(tap)] = inner.inputs[m];
                    weights[static_cast<std::size_t>(tap)] += weight;
                    taps.count = std::max(taps.count, static_cast<std::size_t>(tap) + 1);
                }
            }
        }
        std::transform(weights.begin(), weights.end(), taps.weights.begin(),
                       [](double weight) { return static_cast<float>(weight); });
    }
}

Range AxisResize::reached(std::int64_t first, std::int64_t last) const {
    const auto begin = outputs_.begin();
    const auto start = std::partition_point(begin, outputs_.end(), [=](const Taps& t) { return t.last() < first; });
    const auto stop = std::partition_point(start, outputs_.end(), [=](const Taps& t) { return t.first() <= last; });
    return {start - begin, stop - begin};
}

MaskSummary resize_mask(const float* logits, Size size, const AxisResize& rows, const AxisResize& columns, Mask& mask) {
    const auto [positive_rows, positive_columns] = positive_extent(logits, size);
    if (positive_rows.last < 0) {
        return {};
    }
    const Range y_range = rows.reached(positive_rows.first, positive_rows.last);
    const Range x_range = columns.reached(positive_columns.first, positive_columns.last);
    if (y_range.empty() || x_range.empty()) {
        return {};
    }
    const Range support = rows.support(y_range);
    const std::vector<float> widened = widen(logits, size.width, support, columns, x_range);
    std::vector<float> line(static_cast<std::size_t>(x_range.stop - x_range.start));
    double probability = 0;
    for (std::int64_t y = y_range.start; y < y_range.stop; ++y) {
        blend_rows(widened, support.start, rows.taps(y), line);
        probability += mark_positive(line, mask.row(y) + x_range.start);
    }
    const Box region{x_range.start, y_range.start, x_range.stop, y_range.stop};
    const auto count = static_cast<double>(count_pixels(mask, region));
    return {probability / (count + 1e-6), tight_box(mask, region)};
}

}  // namespace vpp
