// The CUDA language as far as the kernels use it, on top of emulator.h.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "cuda_runtime_api.h"
#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

#define threadIdx (emulation::thread_index())
inline dim3 blockIdx, blockDim, gridDim;

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* launch, void (*kernel)(Parameters...),
                               Arguments... arguments) {
    if (launch->gridDim.x < 1 || launch->gridDim.y > 65535 || launch->gridDim.z > 65535 || launch->blockDim.x > 1024) {
        return cudaErrorInvalidValue;
    }
    gridDim = launch->gridDim;
    blockDim = launch->blockDim;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z) {
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
                emulation::run_block(launch->blockDim.x, launch->dynamicSmemBytes,
                                     [&] { kernel(static_cast<Parameters>(arguments)...); });
            }
        }
    }
    return cudaSuccess;
}

inline void __syncthreads() {
    emulation::block_barrier();
}
inline void __syncwarp() {
    emulation::warp_barrier();
}

template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned distance) {
    const auto values = emulation::exchange(value);
    const unsigned lane = threadIdx.x % 32;
    return lane >= distance ? values[lane - distance] : value;
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
    return emulation::exchange(value)[threadIdx.x % 32 ^ mask];
}
inline unsigned __ballot_sync(unsigned, bool predicate) {
    unsigned lanes = 0;
    const auto values = emulation::exchange(predicate);
    for (unsigned lane = 0; lane < 32; ++lane)
        lanes |= static_cast<unsigned>(values[lane]) << lane;
    return lanes;
}
inline unsigned __match_any_sync(unsigned, int value) {
    unsigned lanes = 0;
    const auto values = emulation::exchange(value);
    for (unsigned lane = 0; lane < 32; ++lane)
        lanes |= static_cast<unsigned>(values[lane] == value) << lane;
    return lanes;
}
inline int __reduce_add_sync(unsigned, int value) {
    int sum = 0;
    for (const int other : emulation::exchange(value))
        sum += other;
    return sum;
}
inline int __popc(unsigned value) {
    return __builtin_popcount(value);
}

// Threads switch at barriers only, so plain arithmetic is atomic.
template <typename T>
T atomicAdd(T* place, T value) {
    const T old = *place;
    *place += value;
    return old;
}
template <typename T>
T atomicMax(T* place, T value) {
    const T old = *place;
    *place = std::max(old, value);
    return old;
}
