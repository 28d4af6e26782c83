// SelectTokens, one block per batch item: radix select of the k-th key, ordered compaction, and for descending scores a
// stable radix sort of the k positions. Every warp owns a contiguous segment, so that order costs one scan over warps.
#pragma once

#include <cuda_runtime.h>

#include "common.h"
#include "device.cuh"

namespace vpp {

constexpr int kSelectThreads = 1024;
constexpr int kSelectWarps = kSelectThreads / kWarpSize;
constexpr int kSelectBins = 2048;             // digits of 11, 11 and 10 bits
constexpr int kSortDigits = 256;              // digits of 8 bits
constexpr int kSortStride = kSortDigits + 1;  // keeps the scan of the counters free of bank conflicts
constexpr int kSelectLimit = 65536;           // positions fit into 16 bits
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// Scores and mask of one batch item, [n] each.
struct Scores {
    const float* __restrict__ values;
    const uint8_t* __restrict__ active;

    __device__ uint32_t key(int position) const {
        return active == nullptr || active[position] ? score_key(values[position]) : kInactiveKey;
    }
};

// Keys with upper_bits > prefix are selected, and the first `ties` of those that are equal.
struct Threshold {
    uint32_t prefix;
    int shift, ties;
};

struct SelectShared {
    union {
        int bins[kSelectBins];
        int counters[kSelectWarps * kSortStride];  // [warp, digit]
    };
    int above[kSelectWarps], equal[kSelectWarps], sums[kSelectWarps];
    int digit, remaining, count;
};

__device__ __forceinline__ unsigned lanes_below() {
    return (1u << threadIdx.x % kWarpSize) - 1u;
}

// Sum of values[warp'] over the warps below this one; the caller synchronises before and before the next write.
__device__ __forceinline__ int sum_of_warps_below(const int (&values)[kSelectWarps]) {
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    return __reduce_add_sync(kAllLanes, lane < warp ? values[lane] : 0);
}

// Sum of `value` over the threads below this one. Contains one barrier; `sums` may be written again after the next.
__device__ __forceinline__ int block_exclusive_sum(int value, int (&sums)[kSelectWarps]) {
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    int inclusive = value;
#pragma unroll
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const int other = __shfl_up_sync(kAllLanes, inclusive, distance);
        if (lane >= distance)
            inclusive += other;
    }
    if (lane == kWarpSize - 1)
        sums[warp] = inclusive;
    __syncthreads();
    return sum_of_warps_below(sums) + inclusive - value;
}

__device__ inline Threshold find_threshold(const Scores& scores, int n, int k, SelectShared& shared) {
    const int thread = threadIdx.x, lane = thread % kWarpSize;
    const Segment segment = warp_segment(n, thread / kWarpSize, kSelectWarps);
    const int high = kSelectBins - 1 - 2 * thread, low = high - 1;  // this thread's bins: all bins, from the top
    shared.bins[high] = shared.bins[low] = 0;
    __syncthreads();
    Threshold threshold{0, 32, k};
    for (int pass = 0; pass < 3; ++pass) {
        const int bits = pass < 2 ? 11 : 10;
        const int shift = threshold.shift - bits;
#pragma unroll 4
        for (int position = segment.begin + lane; position < segment.end; position += kWarpSize) {
            const uint32_t key = scores.key(position);
            if (upper_bits(key, threshold.shift) == threshold.prefix) {
                atomicAdd(&shared.bins[key >> shift & ((1u << bits) - 1u)], 1);
            }
        }
        __syncthreads();
        const int high_count = shared.bins[high], low_count = shared.bins[low];
        shared.bins[high] = shared.bins[low] = 0;
        const int above_high = block_exclusive_sum(high_count + low_count, shared.sums);
        const int above_low = above_high + high_count;
        if (above_high < threshold.ties && threshold.ties <= above_low) {
            shared.digit = high, shared.remaining = threshold.ties - above_high, shared.count = high_count;
        } else if (above_low < threshold.ties && threshold.ties <= above_low + low_count) {
            shared.digit = low, shared.remaining = threshold.ties - above_low, shared.count = low_count;
        }
        __syncthreads();
        threshold = {threshold.prefix << bits | static_cast<uint32_t>(shared.digit), shift, shared.remaining};
        if (shared.count == shared.remaining)
            break;  // the whole bin is selected: its lower bits do not matter
    }
    return threshold;
}

// Writes the selected positions in ascending order.
__device__ inline void write_selected(const Scores& scores, int n, const Threshold& threshold, int32_t* positions,
                                      SelectShared& shared) {
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    const Segment segment = warp_segment(n, warp, kSelectWarps);
    int above = 0, equal = 0;
#pragma unroll 4
    for (int first = segment.begin; first < segment.end; first += kWarpSize) {
        const int position = first + lane;
        const bool valid = position < segment.end;
        const uint32_t upper = valid ? upper_bits(scores.key(position), threshold.shift) : 0;
        above += __popc(__ballot_sync(kAllLanes, valid && upper > threshold.prefix));
        equal += __popc(__ballot_sync(kAllLanes, valid && upper == threshold.prefix));
    }
    if (lane == 0)
        shared.above[warp] = above, shared.equal[warp] = equal;
    __syncthreads();
    above = sum_of_warps_below(shared.above);
    equal = sum_of_warps_below(shared.equal);
#pragma unroll 4
    for (int first = segment.begin; first < segment.end; first += kWarpSize) {
        const int position = first + lane;
        const bool valid = position < segment.end;
        const uint32_t upper = valid ? upper_bits(scores.key(position), threshold.shift) : 0;
        const bool is_above = valid && upper > threshold.prefix, is_equal = valid && upper == threshold.prefix;
        const unsigned above_lanes = __ballot_sync(kAllLanes, is_above);
        const unsigned equal_lanes = __ballot_sync(kAllLanes, is_equal);
        const int above_before = above + __popc(above_lanes & lanes_below());
        const int equal_before = equal + __popc(equal_lanes & lanes_below());
        if (is_above || (is_equal && equal_before < threshold.ties)) {
            positions[above_before + smaller(equal_before, threshold.ties)] = position;
        }
        above += __popc(above_lanes);
        equal += __popc(equal_lanes);
    }
}

// One stable counting pass over 8 bits of the inverted keys: positions [k] from `source` to `target`. Begins with a
// barrier before anything is read, and ends with one.
template <typename Source, typename Target>
__device__ inline void sort_pass(const Scores& scores, const Source* source, Target* target, int k, int shift,
                                 SelectShared& shared) {
    const int thread = threadIdx.x, lane = thread % kWarpSize, warp = thread / kWarpSize;
    const Segment segment = warp_segment(k, warp, kSelectWarps);
    int* counters = shared.counters + warp * kSortStride;
    const auto digit_of = [&](int position) { return static_cast<int>(~scores.key(position) >> shift & 255u); };

    for (int i = thread; i < kSelectWarps * kSortStride; i += kSelectThreads)
        shared.counters[i] = 0;
    __syncthreads();
    for (int first = segment.begin; first < segment.end; first += kWarpSize) {
        const bool valid = first + lane < segment.end;
        const int digit = valid ? digit_of(static_cast<int>(source[first + lane])) : kSortDigits;
        const unsigned peers = __match_any_sync(kAllLanes, digit);
        if ((peers & lanes_below()) == 0)
            counters[digit] += __popc(peers);
        __syncwarp();
    }
    __syncthreads();

    // Exclusive sums in the order (digit, warp): each thread has eight warps of one digit.
    constexpr int kShare = kSortDigits * kSelectWarps / kSelectThreads;
    int* share =
        shared.counters + thread % (kSelectWarps / kShare) * kShare * kSortStride + thread / (kSelectWarps / kShare);
    int counts[kShare], total = 0;
#pragma unroll
    for (int i = 0; i < kShare; ++i)
        total += counts[i] = share[i * kSortStride];
    int before = block_exclusive_sum(total, shared.sums);
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
        share[i * kSortStride] = before;
        before += counts[i];
    }
    __syncthreads();

    for (int first = segment.begin; first < segment.end; first += kWarpSize) {
        const bool valid = first + lane < segment.end;
        const int position = valid ? static_cast<int>(source[first + lane]) : 0;
        const int digit = valid ? digit_of(position) : kSortDigits;
        const unsigned peers = __match_any_sync(kAllLanes, digit);
        const int rank = counters[digit] + __popc(peers & lanes_below());
        if (valid)
            target[rank] = static_cast<Target>(position);
        __syncwarp();
        if ((peers & lanes_below()) == 0)
            counters[digit] += __popc(peers);
        __syncwarp();
    }
    __syncthreads();
}

// Selects for the batch item of this block. `scratch` [k], in shared or global memory, is used for descending scores
// only.
__device__ inline void select_tokens(Scores scores, int n, int k, bool by_score, int32_t* positions, uint16_t* scratch,
                                     SelectShared& shared) {
    const Threshold threshold = find_threshold(scores, n, k, shared);
    write_selected(scores, n, threshold, positions, shared);
    if (!by_score)
        return;
    for (int shift = 0; shift < 32; shift += 16) {
        sort_pass(scores, positions, scratch, k, shift, shared);
        sort_pass(scores, scratch, positions, k, shift + 8, shared);
    }
}

}  // namespace vpp
