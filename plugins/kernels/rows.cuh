// GatherTokens and ScatterTokens: rows are bytes, moved in the widest accesses that rows and addresses allow.
#pragma once

#include <cuda_runtime.h>

#include "common.h"

namespace vpp {

constexpr int kRowThreads = 256;
constexpr int kRowUnroll = 4;  // independent accesses in flight per thread
constexpr int kRowChunk = kRowThreads * kRowUnroll;

// One batch item of gather or scatter: k rows among n, each of `vectors` vectors.
struct RowShape {
    int n, k, row_bytes;
};

enum class Move { kGather, kScatter };

// kGather: target[slot] = source[indices[slot]], zeros for an index out of range.
// kScatter: target[indices[slot]] = source[slot], nothing for an index out of range.
// Any number of blocks along x shares the work.
template <Move kMove, typename Vector>
__device__ __forceinline__ void move_rows(const Vector* __restrict__ source, const int32_t* __restrict__ indices,
                                          Vector* __restrict__ target, RowShape shape) {
    const uint32_t vectors = shape.row_bytes / sizeof(Vector);
    const uint32_t total = shape.k * vectors;
    for (uint32_t chunk = blockIdx.x * kRowChunk; chunk < total; chunk += gridDim.x * kRowChunk) {
        Vector data[kRowUnroll];
        size_t place[kRowUnroll];
        bool write[kRowUnroll];
#pragma unroll
        for (int u = 0; u < kRowUnroll; ++u) {
            const uint32_t i = chunk + u * kRowThreads + threadIdx.x;
            const uint32_t slot = i / vectors;
            const int index = i < total ? indices[slot] : -1;
            const bool valid = 0 <= index && index < shape.n;
            const size_t row_place = static_cast<size_t>(index) * vectors + (i - slot * vectors);
            place[u] = kMove == Move::kGather ? i : row_place;
            write[u] = kMove == Move::kGather ? i < total : valid;
            data[u] = valid ? source[kMove == Move::kGather ? row_place : i] : Vector{};
        }
#pragma unroll
        for (int u = 0; u < kRowUnroll; ++u) {
            if (write[u])
                target[place[u]] = data[u];
        }
    }
}

// target = base with the rows at `indices` replaced by `tokens`, in one pass: each block owns a range of rows and finds
// in the indices which of them are replaced. source_of: [kScatterMapRows] in shared memory.
template <typename Vector>
__device__ __forceinline__ void replace_rows(const Vector* __restrict__ base, const int32_t* __restrict__ indices,
                                             const Vector* __restrict__ tokens, Vector* __restrict__ target,
                                             RowShape shape, int* source_of) {
    const uint32_t vectors = shape.row_bytes / sizeof(Vector);
    const int rows_per_block = ceil_div(shape.n, gridDim.x);
    const int end = smaller((blockIdx.x + 1) * rows_per_block, shape.n);
    for (int first = blockIdx.x * rows_per_block; first < end; first += kScatterMapRows) {
        const uint32_t count = smaller(kScatterMapRows, end - first);
        for (uint32_t row = threadIdx.x; row < count; row += kRowThreads)
            source_of[row] = -1;
        __syncthreads();
#pragma unroll 4
        for (int slot = threadIdx.x; slot < shape.k; slot += kRowThreads) {
            const uint32_t row = static_cast<uint32_t>(indices[slot]) - static_cast<uint32_t>(first);
            if (row < count)
                atomicMax(&source_of[row], slot);
        }
        __syncthreads();
        const uint32_t total = count * vectors;
        for (uint32_t chunk = 0; chunk < total; chunk += kRowChunk) {
            Vector data[kRowUnroll];
#pragma unroll
            for (int u = 0; u < kRowUnroll; ++u) {
                const uint32_t i = chunk + u * kRowThreads + threadIdx.x;
                const uint32_t row = i / vectors;
                if (i >= total)
                    continue;
                const int slot = source_of[row];
                const Vector* from = slot < 0 ? base + static_cast<size_t>(first + row) * vectors
                                              : tokens + static_cast<size_t>(slot) * vectors;
                data[u] = from[i - row * vectors];
            }
#pragma unroll
            for (int u = 0; u < kRowUnroll; ++u) {
                const uint32_t i = chunk + u * kRowThreads + threadIdx.x;
                if (i < total)
                    target[static_cast<size_t>(first) * vectors + i] = data[u];
            }
        }
        __syncthreads();
    }
}

// Calls `function` with a null pointer to the widest vector type that fits.
template <typename Function>
__device__ __forceinline__ void with_vector(uint64_t addresses, int row_bytes, Function function) {
    switch (vector_bytes(addresses, row_bytes)) {
        case 16:
            return function(static_cast<uint4*>(nullptr));
        case 8:
            return function(static_cast<uint2*>(nullptr));
        case 4:
            return function(static_cast<uint32_t*>(nullptr));
        default:
            return function(static_cast<uint16_t*>(nullptr));
    }
}

__device__ __forceinline__ uint64_t address(const void* pointer) {
    return reinterpret_cast<uint64_t>(pointer);
}

// GatherTokens of batch item blockIdx.y.
__device__ __forceinline__ void gather_tokens(const void* tokens, const int32_t* indices, void* gathered,
                                              RowShape shape) {
    const size_t item = blockIdx.y;
    with_vector(address(tokens) | address(gathered), shape.row_bytes, [&](auto* type) {
        using Vector = std::remove_pointer_t<decltype(type)>;
        const size_t vectors = shape.row_bytes / sizeof(Vector);
        move_rows<Move::kGather>(static_cast<const Vector*>(tokens) + item * shape.n * vectors,
                                 indices + item * shape.k, static_cast<Vector*>(gathered) + item * shape.k * vectors,
                                 shape);
    });
}

// ScatterTokens of batch item blockIdx.y; in place where `scattered` is `base`.
__device__ __forceinline__ void scatter_tokens(const void* base, const int32_t* indices, const void* tokens,
                                               void* scattered, RowShape shape) {
    __shared__ int source_of[kScatterMapRows];
    const size_t item = blockIdx.y;
    with_vector(address(base) | address(tokens) | address(scattered), shape.row_bytes, [&](auto* type) {
        using Vector = std::remove_pointer_t<decltype(type)>;
        const size_t vectors = shape.row_bytes / sizeof(Vector);
        const Vector* item_tokens = static_cast<const Vector*>(tokens) + item * shape.k * vectors;
        Vector* target = static_cast<Vector*>(scattered) + item * shape.n * vectors;
        if (base == scattered) {
            move_rows<Move::kScatter>(item_tokens, indices + item * shape.k, target, shape);
        } else {
            replace_rows(static_cast<const Vector*>(base) + item * shape.n * vectors, indices + item * shape.k,
                         item_tokens, target, shape, source_of);
        }
    });
}

}  // namespace vpp
