// Deformable attention on plain arrays: no ONNX Runtime in here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vpp {

// One level of the value maps: its size, and its first row among all.
struct Level {
    int32_t height;
    int32_t width;
    int32_t start;
};

// Inputs and output as docs/ops.md has them, row-major and without gaps.
struct DeformableAttention {
    const float* value;             // [batch, length, heads, channels]
    const float* offsets;           // [batch, queries, levels, heads, points, 2], (y, x) in pixels of the level
    const float* weights;           // [batch, queries, heads, levels, points]
    const float* reference_points;  // [queries, 2], (y, x); a map spans [0, 1]
    float* output;                  // [batch, queries, heads * channels]
    const Level* levels;
    size_t level_count;
    size_t batch;
    size_t length;
    size_t queries;
    size_t heads;
    size_t channels;
    size_t points;
};

// The levels of a list of sizes, height and width in turn. Empty if a size is not in [1, 2^24], one is left over, or
// all together have more than 2^31 - 1 rows.
std::vector<Level> levels_of(const std::vector<int64_t>& sizes);

// Computes output rows [first, last) of the batch * queries that there are. Samples outside a map are zero; those
// whose place is NaN or infinite are NaN. Rows are independent of each other: any split gives the same bits.
void deformable_attention(const DeformableAttention& task, size_t first, size_t last);

// The same for one instruction set.
struct Implementation {
    const char* name;
    void (*compute)(const DeformableAttention& task, size_t first, size_t last);
};

// Those that this processor can run, the fastest first.
std::vector<Implementation> implementations();

}  // namespace vpp
