// The four ops: name, attributes, tensors (inputs, then the output), output shape, and the kernel call.
// `problem` says why the kernel cannot take inputs of these sizes; null if it can.
#pragma once

#include <array>

#include "tensors.h"

namespace vpp {

using nvinfer1::Dims;
using nvinfer1::DimsExprs;
using nvinfer1::IExprBuilder;

template <class Op>
struct Attribute {
    const char* name;
    int32_t Op::* value;
};

inline bool same_batch(const Dims* inputs, int count) {
    for (int input = 1; input < count; ++input) {
        if (inputs[input].d[0] != inputs[0].d[0])
            return false;
    }
    return true;
}

// scores [B, N], active [B, N] -> indices [B, K]
struct SelectTokens {
    static constexpr const char* kName = "VppSelectTokens";
    static constexpr std::array kTensors{Kind::kScores, Kind::kFlags, Kind::kIndices};

    int32_t k = 0;
    int32_t by_position = 0;

    static constexpr auto attributes() {
        return std::array{Attribute<SelectTokens>{"k", &SelectTokens::k},
                          Attribute<SelectTokens>{"by_position", &SelectTokens::by_position}};
    }

    DimsExprs output_shape(const DimsExprs* inputs, IExprBuilder& expressions) const {
        return {2, {inputs[0].d[0], expressions.constant(k)}};
    }

    const char* problem(const Dims* inputs) const {
        if (!same_batch(inputs, 2) || inputs[0].d[1] != inputs[1].d[1])
            return "scores and active differ in shape";
        if (inputs[0].d[1] > 65536)
            return "more than 65536 tokens";
        return 1 <= k && k <= inputs[0].d[1] ? nullptr : "k is not in [1, N]";
    }

    size_t workspace_bytes(const Dims* inputs, vpp_dtype) const {
        return vpp_select_workspace_bytes(size(inputs[0], 0), size(inputs[0], 1), k, by_position == 0);
    }

    cudaError_t enqueue(const Dims* dims, vpp_dtype dtype, const void* const* inputs, void* output, void* workspace,
                        cudaStream_t stream) const {
        return vpp_select(static_cast<const float*>(inputs[0]), static_cast<const uint8_t*>(inputs[1]),
                          static_cast<int32_t*>(output), size(dims[0], 0), size(dims[0], 1), k, by_position == 0,
                          workspace, workspace_bytes(dims, dtype), stream);
    }
};

// tokens [B, N, C], indices [B, K] -> gathered [B, K, C]
struct GatherTokens {
    static constexpr const char* kName = "VppGatherTokens";
    static constexpr std::array kTensors{Kind::kTokens, Kind::kIndices, Kind::kTokens};

    static constexpr std::array<Attribute<GatherTokens>, 0> attributes() { return {}; }

    DimsExprs output_shape(const DimsExprs* inputs, IExprBuilder&) const {
        return {3, {inputs[0].d[0], inputs[1].d[1], inputs[0].d[2]}};
    }

    const char* problem(const Dims* inputs) const {
        return same_batch(inputs, 2) ? nullptr : "tokens and indices differ in batch size";
    }

    size_t workspace_bytes(const Dims* inputs, vpp_dtype dtype) const {
        return vpp_gather_workspace_bytes(size(inputs[0], 0), size(inputs[0], 1), size(inputs[1], 1),
                                          size(inputs[0], 2), dtype);
    }

    cudaError_t enqueue(const Dims* dims, vpp_dtype dtype, const void* const* inputs, void* output, void* workspace,
                        cudaStream_t stream) const {
        return vpp_gather(inputs[0], static_cast<const int32_t*>(inputs[1]), output, size(dims[0], 0), size(dims[0], 1),
                          size(dims[1], 1), size(dims[0], 2), dtype, workspace, workspace_bytes(dims, dtype), stream);
    }
};

// base [B, N, C], indices [B, K], tokens [B, K, C] -> scattered [B, N, C], never in place of base: see README.md
struct ScatterTokens {
    static constexpr const char* kName = "VppScatterTokens";
    static constexpr std::array kTensors{Kind::kTokens, Kind::kIndices, Kind::kTokens, Kind::kTokens};

    static constexpr std::array<Attribute<ScatterTokens>, 0> attributes() { return {}; }

    DimsExprs output_shape(const DimsExprs* inputs, IExprBuilder&) const { return inputs[0]; }

    const char* problem(const Dims* inputs) const {
        if (!same_batch(inputs, 3))
            return "base, indices and tokens differ in batch size";
        if (inputs[0].d[2] != inputs[2].d[2])
            return "base and tokens differ in channels";
        return inputs[1].d[1] == inputs[2].d[1] ? nullptr : "there are not as many indices as tokens";
    }

    size_t workspace_bytes(const Dims* inputs, vpp_dtype dtype) const {
        return vpp_scatter_workspace_bytes(size(inputs[0], 0), size(inputs[0], 1), size(inputs[1], 1),
                                           size(inputs[0], 2), dtype);
    }

    cudaError_t enqueue(const Dims* dims, vpp_dtype dtype, const void* const* inputs, void* output, void* workspace,
                        cudaStream_t stream) const {
        return vpp_scatter(inputs[0], static_cast<const int32_t*>(inputs[1]), inputs[2], output, size(dims[0], 0),
                           size(dims[0], 1), size(dims[1], 1), size(dims[0], 2), dtype, workspace,
                           workspace_bytes(dims, dtype), stream);
    }
};

// queries [B, rows * columns, C], keys [B, K, C], key positions [B, K] -> source [B, rows * columns]
struct AssociateTokens {
    static constexpr const char* kName = "VppAssociateTokens";
    static constexpr std::array kTensors{Kind::kTokens, Kind::kTokens, Kind::kIndices, Kind::kIndices};

    int32_t rows = 0;
    int32_t columns = 0;

    static constexpr auto attributes() {
        return std::array{Attribute<AssociateTokens>{"rows", &AssociateTokens::rows},
                          Attribute<AssociateTokens>{"columns", &AssociateTokens::columns}};
    }

    DimsExprs output_shape(const DimsExprs* inputs, IExprBuilder&) const {
        return {2, {inputs[0].d[0], inputs[0].d[1]}};
    }

    const char* problem(const Dims* inputs) const {
        if (!same_batch(inputs, 3))
            return "queries, keys and key positions differ in batch size";
        if (inputs[0].d[2] != inputs[1].d[2])
            return "queries and keys differ in channels";
        if (inputs[1].d[1] != inputs[2].d[1])
            return "there are not as many key positions as keys";
        return rows >= 1 && columns >= 1 && int64_t{rows} * columns == inputs[0].d[1] ? nullptr
                                                                                      : "rows * columns is not N";
    }

    size_t workspace_bytes(const Dims* inputs, vpp_dtype dtype) const {
        return vpp_associate_workspace_bytes(size(inputs[0], 0), rows, columns, size(inputs[1], 1), size(inputs[0], 2),
                                             dtype);
    }

    cudaError_t enqueue(const Dims* dims, vpp_dtype dtype, const void* const* inputs, void* output, void* workspace,
                        cudaStream_t stream) const {
        return vpp_associate(inputs[0], inputs[1], static_cast<const int32_t*>(inputs[2]),
                             static_cast<int32_t*>(output), size(dims[0], 0), rows, columns, size(dims[1], 1),
                             size(dims[0], 2), dtype, workspace, workspace_bytes(dims, dtype), stream);
    }
};

}  // namespace vpp
