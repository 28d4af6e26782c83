// Arithmetic that host and device share: orderings, the positional term, and how work is cut into pieces.
// Plain C++17, so that every function here is tested without a GPU (tests/reference_tests.cpp).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define VPP_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define VPP_HOST_DEVICE inline
#endif

namespace vpp {

constexpr int kWarpSize = 32;

VPP_HOST_DEVICE constexpr int ceil_div(int value, int divisor) {
    return value / divisor + (value % divisor != 0);
}

VPP_HOST_DEVICE constexpr int smaller(int a, int b) {
    return a < b ? a : b;
}

VPP_HOST_DEVICE constexpr int larger(int a, int b) {
    return a > b ? a : b;
}

// ---- order of scores ----

constexpr uint32_t kInactiveKey = 0x00800000u;  // score_key(-FLT_MAX)

// Unsigned key with the order of the scores: NaN is 0, below -infinity; -0 equals +0.
VPP_HOST_DEVICE uint32_t score_key(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return 0;
    if (bits == 0x80000000u)
        bits = 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The bits of `key` from `shift` upwards, 0 <= shift <= 32.
VPP_HOST_DEVICE uint32_t upper_bits(uint32_t key, int shift) {
    return static_cast<uint32_t>(static_cast<uint64_t>(key) >> shift);
}

// A similarity and its index as one number: the larger is the better, and at equal similarity the lower index.
// 0 stands for "no candidate" and is below every candidate whose similarity is not NaN.
VPP_HOST_DEVICE unsigned long long pack_candidate(float similarity, int index) {
    return static_cast<unsigned long long>(score_key(similarity)) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(index));
}

VPP_HOST_DEVICE int candidate_index(unsigned long long candidate) {
    return candidate == 0 ? 0 : static_cast<int>(0xFFFFFFFFu - static_cast<uint32_t>(candidate));
}

// -infinity for "no candidate".
VPP_HOST_DEVICE float candidate_similarity(unsigned long long candidate) {
    const uint32_t key = static_cast<uint32_t>(candidate >> 32);
    const uint32_t bits = key == 0 ? 0xFF800000u : key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
    float similarity;
    memcpy(&similarity, &bits, sizeof similarity);
    return similarity;
}

// ---- positional term ----

// A place on a grid whose rows and columns both span [0, 1].
struct Place {
    float x, y;
};

VPP_HOST_DEVICE Place grid_place(int position, int rows, int columns) {
    const int row = position / columns;
    const int column = position - row * columns;
    return {static_cast<float>(column) / static_cast<float>(larger(columns - 1, 1)),
            static_cast<float>(row) / static_cast<float>(larger(rows - 1, 1))};
}

constexpr float kBiasBound = 1.0001f;  // above every positional_bias: log10(10 + 1e-6) and rounding

// log10(5 (2 - d) + 1e-6), d the Manhattan distance. Computed, not looked up: the one SFU instruction costs what a
// shared memory look-up costs, but no table, which would grow with the grid.
VPP_HOST_DEVICE float positional_bias(Place a, Place b) {
    const float distance = fabsf(a.x - b.x) + fabsf(a.y - b.y);
    const float closeness = 5.0f * (2.0f - distance) + 1e-6f;
    constexpr float kLog10Of2 = 0.30102999566f;
#ifdef __CUDA_ARCH__
    return __log2f(closeness) * kLog10Of2;
#else
    return std::log2(closeness) * kLog10Of2;
#endif
}

// ---- select: what a warp handles ----

struct Segment {
    int begin, end;
};

// Contiguous part number `part` of `parts` of [0, count); begins are multiples of the warp size.
VPP_HOST_DEVICE Segment warp_segment(int count, int part, int parts) {
    const int length = ceil_div(ceil_div(count, parts), kWarpSize) * kWarpSize;
    const int begin = smaller(part * length, count);
    return {begin, smaller(begin + length, count)};
}

// ---- gather and scatter: sizes of accesses ----

// Widest of 16, 8, 4, 2 bytes that divides both the row and all addresses (`addresses`: bitwise or of them).
VPP_HOST_DEVICE int vector_bytes(uint64_t addresses, int row_bytes) {
    const uint64_t bits = addresses | static_cast<uint64_t>(row_bytes);
    return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

constexpr int kScatterMapRows = 2048;

// Rows of the output that one block of the scatter writes. Every block reads all k indices, so a block writes at least
// 16 bytes per index (reading indices then stays below an eighth of the traffic), and at least 32 KiB.
inline int scatter_rows_per_block(int k, int row_bytes) {
    const int64_t bytes = k > 2048 ? int64_t{16} * k : int64_t{32768};
    const int64_t rows = (bytes + row_bytes - 1) / row_bytes;
    return rows > kScatterMapRows ? kScatterMapRows : static_cast<int>(rows);
}

// ---- associate: tiles ----

// Offset, in 16-bit elements, of 8-element chunk `chunk` (0..3) of row `row` in a tile with rows of 32 elements: the
// chunks are permuted such that the eight rows which ldmatrix reads at once lie in different banks.
VPP_HOST_DEVICE int swizzled_offset(int row, int chunk) {
    return row * 32 + ((chunk ^ (row >> 1 & 3)) * 8);
}

// Square tiles of `tile` queries and keys; the keys are split into `splits` parts, one block each.
struct AssociatePlan {
    int tile, query_tiles, splits;
};

inline AssociatePlan associate_plan(int batch, int n, int k) {
    constexpr int kEnoughTiles = 200;    // below that, large tiles leave multiprocessors idle
    constexpr int kEnoughBlocks = 2048;  // above that, a block takes several key tiles
    const auto tiles = [&](int tile) { return int64_t{batch} * ceil_div(n, tile) * ceil_div(k, tile); };
    const int tile = tiles(128) >= kEnoughTiles ? 128 : 64;
    const int key_tiles = ceil_div(k, tile);
    const int64_t tiles_per_block = tiles(tile) / kEnoughBlocks + 1;
    const int splits = static_cast<int>((key_tiles + tiles_per_block - 1) / tiles_per_block);
    return {tile, ceil_div(n, tile), splits};
}

}  // namespace vpp
