// float32 engine of the association: outer products in registers. Both operands lie transposed in shared memory,
// written by four-byte asynchronous copies, which take any number of channels and any alignment.
#pragma once

#include "associate.cuh"

namespace vpp {

// Tile of kTileQueries x kTileKeys; a thread has kThreadRows x kThreadColumns similarities, in groups of four.
template <int kTileQueries, int kTileKeys, int kThreadRows, int kThreadColumns>
struct FmaEngine {
    static constexpr int kQueries = kTileQueries, kKeys = kTileKeys, kDepth = 16, kStages = 2;
    static constexpr int kRows = kThreadRows, kColumns = kThreadColumns;
    static constexpr int kRowLanes = kKeys / kColumns;
    static constexpr int kThreads = kQueries / kRows * kRowLanes;
    static_assert(kRowLanes <= kWarpSize && kWarpSize % kRowLanes == 0, "a row's threads lie in one warp");

    using Element = float;
    struct alignas(16) Stage {
        float queries[kDepth][kQueries + 4];  // + 4: a warp's copies, 8 channels x 4 rows, hit 32 banks
        float keys[kDepth][kKeys + 4];
    };

    float sums[kRows][kColumns];

    __device__ __forceinline__ static int group_row(int i) {
        return i / 4 * (kQueries / (kRows / 4)) + threadIdx.x / kRowLanes * 4;
    }
    __device__ __forceinline__ static int group_column(int j) {
        return j / 4 * (kKeys / (kColumns / 4)) + threadIdx.x % kRowLanes * 4;
    }
    __device__ __forceinline__ static int row(int i) { return group_row(i) + i % 4; }
    __device__ __forceinline__ static int column(int j) { return group_column(j) + j % 4; }
    __device__ __forceinline__ float value(int i, int j) const { return sums[i][j]; }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
            for (int j = 0; j < kColumns; ++j)
                sums[i][j] = 0.0f;
        }
    }

    // Rows row0 ... of `tokens` [count, channels], channels depth0 ..., transposed into `tile`.
    template <int kTile>
    __device__ __forceinline__ static void load_tile(float (&tile)[kDepth][kTile + 4], const float* tokens, int row0,
                                                     int count, int depth0, int channels) {
        const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
        constexpr int kDepthBlocks = kDepth / 8, kWarps = kThreads / kWarpSize;
        constexpr int kRowsPerRound = kWarps / kDepthBlocks * 4;
        static_assert(kWarps % kDepthBlocks == 0 && kTile % kRowsPerRound == 0, "rounds are full");
        const int depth = warp % kDepthBlocks * 8 + lane % 8;
        const int first = warp / kDepthBlocks * 4 + lane / 8;
        const float* from = tokens + static_cast<size_t>(row0 + first) * channels + depth0 + depth;
#pragma unroll 4  // all of them at once cost registers that the sums need
        for (int round = 0; round < kTile / kRowsPerRound; ++round) {
            const int row = first + round * kRowsPerRound;
            const bool inside = row0 + row < count && depth0 + depth < channels;
            copy_async<4>(&tile[depth][row],
                          inside ? from + static_cast<size_t>(round * kRowsPerRound) * channels : tokens, inside);
        }
    }

    __device__ __forceinline__ static void load(Stage& stage, const Association<float>& problem, int query0, int key0,
                                                int depth0) {
        load_tile<kQueries>(stage.queries, problem.queries, query0, problem.n, depth0, problem.channels);
        load_tile<kKeys>(stage.keys, problem.keys, key0, problem.k, depth0, problem.channels);
    }

    __device__ __forceinline__ void multiply(const Stage& stage) {
#pragma unroll
        for (int depth = 0; depth < kDepth; ++depth) {
            float queries[kRows], keys[kColumns];
#pragma unroll
            for (int i = 0; i < kRows; i += 4) {
                *reinterpret_cast<float4*>(&queries[i]) =
                    *reinterpret_cast<const float4*>(&stage.queries[depth][group_row(i)]);
            }
#pragma unroll
            for (int j = 0; j < kColumns; j += 4) {
                *reinterpret_cast<float4*>(&keys[j]) =
                    *reinterpret_cast<const float4*>(&stage.keys[depth][group_column(j)]);
            }
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
#pragma unroll
                for (int j = 0; j < kColumns; ++j)
                    sums[i][j] += queries[i] * keys[j];
            }
        }
    }
};

// Large: half the threads' registers are sums. Small: fills the GPU with few tokens.
using FmaLarge = FmaEngine<128, 128, 8, 8>;
using FmaSmall = FmaEngine<64, 64, 4, 4>;

}  // namespace vpp
