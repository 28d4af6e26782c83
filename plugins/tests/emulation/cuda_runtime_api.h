// Host-only stand-in for the CUDA runtime, so that g++ alone compiles the kernels and their launchers, and runs them:
// device memory is host memory, a launch runs at once, block after block (see emulator.h).
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
using cudaStream_t = struct EmulatedStream*;

inline const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "success" : "invalid value";
}
inline cudaError_t cudaGetDeviceCount(int* count) {
    return *count = 1, cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    return *stream = nullptr, cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}

// Mapped memory by the address given out: its start and size.
inline std::map<void*, std::pair<void*, size_t>> emulated_allocations;

// Memory that ends, but for alignment to 16 bytes, where an inaccessible page begins: touching what lies behind faults.
inline cudaError_t cudaMalloc(void** memory, size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t aligned = (bytes + 15) / 16 * 16, usable = (aligned + page - 1) / page * page;
    void* mapped = mmap(nullptr, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return cudaErrorInvalidValue;
    mprotect(static_cast<char*>(mapped) + usable, page, PROT_NONE);
    *memory = static_cast<char*>(mapped) + usable - aligned;
    emulated_allocations[*memory] = {mapped, usable + page};
    return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
    const auto [mapped, size] = emulated_allocations.at(memory);
    emulated_allocations.erase(memory);
    return munmap(mapped, size), cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
    return std::memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
    return std::memset(memory, value, bytes), cudaSuccess;
}
