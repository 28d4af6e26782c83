// What the inputs and outputs of the ops are, and sizes taken from them.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>

#include "vpp_kernels.h"

namespace vpp {

// Tokens: [B, N, C] float32, float16 or bfloat16, of one type within an op. The others are [B, N].
enum class Kind { kTokens, kScores, kFlags, kIndices };

constexpr int32_t rank_of(Kind kind) {
    return kind == Kind::kTokens ? 3 : 2;
}

constexpr bool has_type(Kind kind, nvinfer1::DataType type) {
    using nvinfer1::DataType;
    switch (kind) {
        case Kind::kTokens:
            return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16;
        case Kind::kScores:
            return type == DataType::kFLOAT;
        case Kind::kFlags:
            return type == DataType::kBOOL;
        case Kind::kIndices:
            return type == DataType::kINT32;
    }
    return false;
}

constexpr vpp_dtype kernel_type(nvinfer1::DataType type) {
    return type == nvinfer1::DataType::kHALF   ? VPP_FLOAT16
           : type == nvinfer1::DataType::kBF16 ? VPP_BFLOAT16
                                               : VPP_FLOAT32;
}

inline int32_t size(const nvinfer1::Dims& dims, int axis) {
    return static_cast<int32_t>(dims.d[axis]);
}

}  // namespace vpp
