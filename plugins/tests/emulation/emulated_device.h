// What kernels/device.cuh has as PTX instructions, written after the PTX ISA's description of their fragments.
#pragma once

#include <cuda_runtime.h>

#include "../half.h"

namespace vpp {

template <typename T>
T* dynamic_shared() {
    return reinterpret_cast<T*>(emulation::dynamic_memory);
}

template <int kBytes>
void copy_async(void* shared, const void* global, bool inside) {
    if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % kBytes != 0) {
        emulation::fail("misaligned asynchronous copy");
    }
    emulation::copy({shared, global, kBytes, inside});
}

inline void copy_commit() {
    emulation::commit();
}

template <int kPending>
void copy_wait() {
    emulation::wait_copies(kPending);
}

inline void load_matrices(uint32_t (&fragments)[4], const void* row) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
        emulation::fail("misaligned matrix row");
    const auto rows = emulation::exchange(row);
    const unsigned lane = threadIdx.x % 32;
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
        std::memcpy(&fragments[matrix], static_cast<const char*>(rows[matrix * 8 + lane / 4]) + lane % 4 * 4, 4);
    }
}

enum class Half { kFloat16, kBFloat16 };

template <Half kType>
float element(uint32_t pair, int which) {
    static const std::vector<float> values = [] {
        std::vector<float> table(65536);
        for (int bits = 0; bits < 65536; ++bits) {
            const auto value = static_cast<uint16_t>(bits);
            table[bits] = kType == Half::kFloat16 ? half::from_float16(value) : half::from_bfloat16(value);
        }
        return table;
    }();
    return values[pair >> (16 * which) & 0xFFFFu];
}

template <Half kType>
void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    const auto pair = [](uint32_t low, uint32_t high) { return static_cast<uint64_t>(high) << 32 | low; };
    const std::array<std::array<uint64_t, 32>, 2> a_lanes{emulation::exchange(pair(a[0], a[1])),
                                                          emulation::exchange(pair(a[2], a[3]))};
    const auto b_lanes = emulation::exchange(pair(b0, b1));
    const int lane = threadIdx.x % 32;
    for (int c = 0; c < 4; ++c) {
        const int row = lane / 4 + c / 2 * 8, column = lane % 4 * 2 + c % 2;
        for (int k = 0; k < 16; ++k) {
            const int lane_of_k = k % 8 / 2;
            const uint64_t a_pair = a_lanes[k / 8][row % 8 * 4 + lane_of_k];
            const uint64_t b_pair = b_lanes[column * 4 + lane_of_k];
            sums[c] += element<kType>(static_cast<uint32_t>(a_pair >> (row / 8 * 32)), k % 2) *
                       element<kType>(static_cast<uint32_t>(b_pair >> (k / 8 * 32)), k % 2);
        }
    }
}

}  // namespace vpp
