// 16-bit engine of the association: tensor cores (mma.m16n8k16, float32 sums), fragments by ldmatrix from tiles whose
// rows of 64 bytes are swizzled against bank conflicts.
#pragma once

#include "associate.cuh"

namespace vpp {

// Tile of kTileQueries x kTileKeys for kWarpRows x kWarpColumns warps.
template <Half kType, int kTileQueries, int kTileKeys, int kWarpRows, int kWarpColumns, int kPipeline>
struct MmaEngine {
    static constexpr int kQueries = kTileQueries, kKeys = kTileKeys, kDepth = 32, kStages = kPipeline;
    static constexpr int kThreads = kWarpRows * kWarpColumns * kWarpSize;
    static constexpr int kWarpQueries = kQueries / kWarpRows, kWarpKeys = kKeys / kWarpColumns;
    static constexpr int kRowBlocks = kWarpQueries / 16, kColumnBlocks = kWarpKeys / 8;
    static constexpr int kRows = kRowBlocks * 2, kColumns = kColumnBlocks * 2, kRowLanes = 4;
    static_assert(kWarpQueries % 16 == 0 && kWarpKeys % 16 == 0, "fragments are loaded for 16 queries and 16 keys");

    using Element = uint16_t;
    struct alignas(16) Stage {
        uint16_t tokens[(kQueries + kKeys) * kDepth];  // queries, then keys
    };

    float sums[kRowBlocks][kColumnBlocks][4];

    __device__ __forceinline__ static int lane() { return threadIdx.x % kWarpSize; }
    __device__ __forceinline__ static int warp_row0() { return threadIdx.x / kWarpSize / kWarpColumns * kWarpQueries; }
    __device__ __forceinline__ static int warp_column0() { return threadIdx.x / kWarpSize % kWarpColumns * kWarpKeys; }
    __device__ __forceinline__ static int row(int i) { return warp_row0() + i / 2 * 16 + i % 2 * 8 + lane() / 4; }
    __device__ __forceinline__ static int column(int j) { return warp_column0() + j / 2 * 8 + lane() % 4 * 2 + j % 2; }
    __device__ __forceinline__ float value(int i, int j) const { return sums[i / 2][j / 2][i % 2 * 2 + j % 2]; }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
            for (int j = 0; j < kColumns; ++j)
                sums[i / 2][j / 2][i % 2 * 2 + j % 2] = 0.0f;
        }
    }

    __device__ __forceinline__ static void load(Stage& stage, const Association<uint16_t>& problem, int query0,
                                                int key0, int depth0) {
        constexpr int kChunks = (kQueries + kKeys) * 4;
#pragma unroll
        for (int round = 0; round < ceil_div(kChunks, kThreads); ++round) {
            const int item = round * kThreads + threadIdx.x;
            if (kChunks % kThreads != 0 && item >= kChunks)
                break;
            const int row = item / 4, chunk = item % 4;
            const bool is_query = row < kQueries;
            const int token = is_query ? query0 + row : key0 + row - kQueries;
            const uint16_t* tokens = is_query ? problem.queries : problem.keys;
            const bool inside = token < (is_query ? problem.n : problem.k);
            const int depth = depth0 + chunk * 8;
            const uint16_t* from = tokens + static_cast<size_t>(token) * problem.channels + depth;
            uint16_t* to = &stage.tokens[swizzled_offset(row, chunk)];
            if (problem.aligned) {
                const bool copy = inside && depth < problem.channels;
                copy_async<16>(to, copy ? from : tokens, copy);
            } else {
#pragma unroll
                for (int e = 0; e < 8; ++e)
                    to[e] = inside && depth + e < problem.channels ? from[e] : uint16_t{0};
            }
        }
    }

    __device__ __forceinline__ void multiply(const Stage& stage) {
#pragma unroll
        for (int half = 0; half < kDepth / 16; ++half) {
            uint32_t queries[kRowBlocks][4];
#pragma unroll
            for (int i = 0; i < kRowBlocks; ++i) {
                load_matrices(
                    queries[i],
                    &stage.tokens[swizzled_offset(warp_row0() + i * 16 + lane() % 16, half * 2 + lane() / 16)]);
            }
#pragma unroll
            for (int j = 0; j < kColumnBlocks; j += 2) {
                const int row = kQueries + warp_column0() + j * 8 + lane() / 16 * 8 + lane() % 8;
                uint32_t keys[4];  // of two column blocks, each the lower and the upper 8 channels
                load_matrices(keys, &stage.tokens[swizzled_offset(row, half * 2 + lane() / 8 % 2)]);
#pragma unroll
                for (int i = 0; i < kRowBlocks; ++i) {
                    multiply_add<kType>(sums[i][j], queries[i], keys[0], keys[1]);
                    multiply_add<kType>(sums[i][j + 1], queries[i], keys[2], keys[3]);
                }
            }
        }
    }
};

// As in associate_fma.cuh.
template <Half kType>
using MmaLarge = MmaEngine<kType, 128, 128, 2, 4, 2>;
template <Half kType>
using MmaSmall = MmaEngine<kType, 64, 64, 2, 2, 4>;

}  // namespace vpp
