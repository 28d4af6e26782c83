// CPU references of the four ops, for one batch item each, written for clarity: the kernels are compared with these,
// and these with brute force (reference_tests.cpp).
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace reference {

// `active` empty: all are.
inline std::vector<int32_t> select(const std::vector<float>& scores, const std::vector<uint8_t>& active, int k,
                                   bool by_score) {
    std::vector<float> ranked(scores);
    for (size_t i = 0; i < active.size(); ++i) {
        if (!active[i])
            ranked[i] = -FLT_MAX;
    }
    std::vector<int32_t> positions(scores.size());
    std::iota(positions.begin(), positions.end(), 0);
    std::stable_sort(positions.begin(), positions.end(), [&](int32_t a, int32_t b) {
        if (std::isnan(ranked[a]) || std::isnan(ranked[b]))
            return !std::isnan(ranked[a]) && std::isnan(ranked[b]);
        return ranked[a] > ranked[b];
    });
    positions.resize(k);
    if (!by_score)
        std::sort(positions.begin(), positions.end());
    return positions;
}

// Rows of `row_bytes` bytes.
inline std::vector<uint8_t> gather(const std::vector<uint8_t>& tokens, const std::vector<int32_t>& indices,
                                   size_t row_bytes) {
    const auto n = static_cast<int64_t>(tokens.size() / row_bytes);
    std::vector<uint8_t> gathered(indices.size() * row_bytes, 0);
    for (size_t slot = 0; slot < indices.size(); ++slot) {
        if (indices[slot] < 0 || indices[slot] >= n)
            continue;
        std::memcpy(&gathered[slot * row_bytes], &tokens[indices[slot] * row_bytes], row_bytes);
    }
    return gathered;
}

inline std::vector<uint8_t> scatter(std::vector<uint8_t> base, const std::vector<int32_t>& indices,
                                    const std::vector<uint8_t>& tokens, size_t row_bytes) {
    const auto n = static_cast<int64_t>(base.size() / row_bytes);
    for (size_t slot = 0; slot < indices.size(); ++slot) {
        if (indices[slot] < 0 || indices[slot] >= n)
            continue;
        std::memcpy(&base[indices[slot] * row_bytes], &tokens[slot * row_bytes], row_bytes);
    }
    return base;
}

// log10(10 (2 - d) / 2 + 1e-6), d the Manhattan distance of two row-major positions, rows and columns spanning [0, 1].
inline double positional_term(int a, int b, int rows, int columns) {
    const auto coordinate = [](int index, int count) { return count > 1 ? double(index) / (count - 1) : 0.0; };
    const double distance = std::fabs(coordinate(a % columns, columns) - coordinate(b % columns, columns)) +
                            std::fabs(coordinate(a / columns, rows) - coordinate(b / columns, rows));
    return std::log10(10.0 * (2.0 - distance) / 2.0 + 1e-6);
}

struct Association {
    std::vector<float> queries, keys;  // [rows * columns, channels], [k, channels]
    std::vector<int32_t> key_positions;
    int rows, columns, channels;

    double similarity(int query, int key) const {
        double sum = 0;
        for (int c = 0; c < channels; ++c) {
            sum += double(queries[size_t(query) * channels + c]) * double(keys[size_t(key) * channels + c]);
        }
        return sum + positional_term(query, key_positions[key], rows, columns);
    }
};

inline std::vector<int32_t> associate(const Association& problem) {
    std::vector<int32_t> source(problem.rows * problem.columns, 0);
    for (size_t query = 0; query < source.size(); ++query) {
        double best = NAN;
        for (size_t key = 0; key < problem.key_positions.size(); ++key) {
            const double similarity = problem.similarity(int(query), int(key));
            if (similarity > best || (std::isnan(best) && !std::isnan(similarity))) {
                best = similarity;
                source[query] = int32_t(key);
            }
        }
    }
    return source;
}

}  // namespace reference
