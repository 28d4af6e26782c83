// AssociateTokens: similarities of a tile of queries and a tile of keys in registers, reduced to one candidate per
// query before the next tile; the [n, k] similarities never exist.
//
// What is common to both engines, FMA (associate_fma.cuh) and tensor cores (associate_mma.cuh), is here: the pipeline
// of asynchronous copies, the positional term, the choice of the best. An engine provides
//   kQueries, kKeys, kDepth, kStages, kThreads   tile of queries x keys, channels per step, pipeline stages, block size
//   kRows, kColumns, kRowLanes   similarities per thread; neighbouring lanes that share a row
//   Element, Stage               type of the tokens, shared memory of one step
//   row(i), column(j)            place in the tile of similarity (i, j) of this thread; column ascends with j
//   clear(), load(), multiply(), value(i, j)
#pragma once

#include <cuda_runtime.h>

#include "common.h"
#include "device.cuh"

namespace vpp {

constexpr int kNoIndex = 0x7FFFFFFF;
constexpr unsigned kFullWarp = 0xFFFFFFFFu;

// One batch item: queries [n, channels], keys [k, channels], key_positions [k], n = rows * columns.
template <typename Element>
struct Association {
    const Element* queries;
    const Element* keys;
    const int32_t* key_positions;
    int n, k, channels, rows, columns;
    bool aligned;  // rows are multiples of 16 bytes, at addresses that are multiples of 16 bytes
};

template <typename Element>
__device__ __forceinline__ Association<Element> association(const void* queries, const void* keys,
                                                            const int32_t* key_positions, int k, int channels, int rows,
                                                            int columns) {
    const size_t item = blockIdx.z;
    const int n = rows * columns;
    const uint64_t alignment = reinterpret_cast<uint64_t>(queries) | reinterpret_cast<uint64_t>(keys) |
                               static_cast<uint64_t>(channels) * sizeof(Element);
    return {static_cast<const Element*>(queries) + item * n * channels,
            static_cast<const Element*>(keys) + item * k * channels,
            key_positions + item * k,
            n,
            k,
            channels,
            rows,
            columns,
            alignment % 16 == 0};
}

// A step of the pipeline: one tile of keys, kDepth channels.
struct Step {
    int tile, depth;

    __device__ __forceinline__ void advance(int step, int channels) {
        depth += step;
        if (depth >= channels)
            ++tile, depth = 0;
    }
};

template <typename Engine>
struct AssociateShared {
    typename Engine::Stage stages[Engine::kStages];
    Place key_places[Engine::kStages][Engine::kKeys];
    Place query_places[Engine::kQueries];
    unsigned long long best[Engine::kQueries];
};

// Merges the similarities of the tile of keys key0 ... into `best`, the candidates of the tile's queries.
template <typename Engine>
__device__ __forceinline__ void merge_tile(const Engine& engine, int key0, int k, const Place* query_places,
                                           const Place* key_places, unsigned long long* best) {
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i) {
        const int row = engine.row(i);
        // Other warps may improve it meanwhile, and this thread then tries more keys than it must.
        const unsigned long long so_far = *const_cast<const volatile unsigned long long*>(&best[row]);
        float similarity = candidate_similarity(so_far);
        int index = so_far == 0 ? kNoIndex : candidate_index(so_far);
#pragma unroll
        for (int j = 0; j < Engine::kColumns; ++j) {
            const int column = engine.column(j);
            const float product = engine.value(i, j);
            // Most keys: no positional term can make them the best. NaN too.
            if (key0 + column >= k || !(product + kBiasBound >= similarity))
                continue;
            const float challenger = product + positional_bias(query_places[row], key_places[column]);
            if (challenger > similarity || (challenger == similarity && key0 + column < index)) {
                similarity = challenger;
                index = key0 + column;
            }
        }
        unsigned long long candidate = index == kNoIndex ? 0 : pack_candidate(similarity, index);
#pragma unroll
        for (int distance = 1; distance < Engine::kRowLanes; distance *= 2) {
            const unsigned long long other = __shfl_xor_sync(kFullWarp, candidate, distance);
            candidate = candidate > other ? candidate : other;
        }
        if (threadIdx.x % Engine::kRowLanes == 0)
            atomicMax(&best[row], candidate);
    }
}

// Best key of the queries of tile blockIdx.x among the keys of part blockIdx.y of gridDim.y, batch item blockIdx.z:
// `write(query, candidate)` for each.
template <typename Engine, typename Write>
__device__ __forceinline__ void associate(const Association<typename Engine::Element>& problem, Write write) {
    __shared__ AssociateShared<Engine> shared;
    const int thread = threadIdx.x;
    const int query0 = blockIdx.x * Engine::kQueries;
    const int tiles = ceil_div(problem.k, Engine::kKeys);
    const int tiles_per_part = ceil_div(tiles, gridDim.y);
    const int end_tile = smaller((blockIdx.y + 1) * tiles_per_part, tiles);
    Step loading{static_cast<int>(blockIdx.y) * tiles_per_part, 0}, computing = loading;

    for (int row = thread; row < Engine::kQueries; row += Engine::kThreads) {
        shared.query_places[row] = grid_place(query0 + row, problem.rows, problem.columns);
        shared.best[row] = 0;
    }
    const auto load_next = [&](int stage) {
        if (loading.tile < end_tile) {
            const int key0 = loading.tile * Engine::kKeys;
            Engine::load(shared.stages[stage], problem, query0, key0, loading.depth);
            if (loading.depth + Engine::kDepth >= problem.channels) {  // the step after which the places are needed
                for (int j = thread; j < smaller(Engine::kKeys, problem.k - key0); j += Engine::kThreads) {
                    shared.key_places[stage][j] =
                        grid_place(problem.key_positions[key0 + j], problem.rows, problem.columns);
                }
            }
            loading.advance(Engine::kDepth, problem.channels);
        }
        copy_commit();  // also an empty group: copy_wait counts them
    };

    Engine engine;
    engine.clear();
#pragma unroll
    for (int stage = 0; stage < Engine::kStages - 1; ++stage)
        load_next(stage);
    int stage = 0;
    while (computing.tile < end_tile) {
        copy_wait<Engine::kStages - 2>();
        __syncthreads();  // the stage is complete, and nobody reads the one before any more: it is loaded next
        load_next(stage == 0 ? Engine::kStages - 1 : stage - 1);
        engine.multiply(shared.stages[stage]);

        if (computing.depth + Engine::kDepth >= problem.channels) {
            merge_tile(engine, computing.tile * Engine::kKeys, problem.k, shared.query_places, shared.key_places[stage],
                       shared.best);
            engine.clear();
        }
        computing.advance(Engine::kDepth, problem.channels);
        stage = stage + 1 == Engine::kStages ? 0 : stage + 1;
    }

    __syncthreads();
    for (int row = thread; row < Engine::kQueries; row += Engine::kThreads) {
        const int query = query0 + row;
        if (query < problem.n)
            write(query, shared.best[row]);
    }
}

}  // namespace vpp
