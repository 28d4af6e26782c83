#include <limits>

#include "rows.cuh"
#include "vpp_kernels.h"

namespace {

__global__ void __launch_bounds__(vpp::kRowThreads)
    gather_kernel(const void* tokens, const int32_t* indices, void* gathered, vpp::RowShape shape) {
    vpp::gather_tokens(tokens, indices, gathered, shape);
}

__global__ void __launch_bounds__(vpp::kRowThreads)
    scatter_kernel(const void* base, const int32_t* indices, const void* tokens, void* scattered, vpp::RowShape shape) {
    vpp::scatter_tokens(base, indices, tokens, scattered, shape);
}

int element_bytes(vpp_dtype dtype) {
    return dtype == VPP_FLOAT32 ? 4 : dtype == VPP_FLOAT16 || dtype == VPP_BFLOAT16 ? 2 : 0;
}

// A grid has at most 65535 batch items; an item has at most 2^29 elements: 32 bits count its vectors.
bool valid(int32_t batch, int32_t n, int32_t k, int32_t channels, vpp_dtype dtype) {
    constexpr int64_t kLimit = std::numeric_limits<int32_t>::max() / 4;
    return 1 <= batch && batch <= 65535 && n >= 1 && k >= 1 && channels >= 1 && element_bytes(dtype) != 0 &&
           channels <= kLimit && int64_t{n > k ? n : k} <= kLimit / channels;
}

cudaLaunchConfig_t configuration(int64_t blocks, int32_t batch, cudaStream_t stream) {
    cudaLaunchConfig_t launch{};
    launch.gridDim = dim3(static_cast<unsigned>(blocks), batch);
    launch.blockDim = dim3(vpp::kRowThreads);
    launch.stream = stream;
    return launch;
}

// Blocks that move k rows, one chunk each.
int64_t move_blocks(uint64_t addresses, const vpp::RowShape& shape) {
    const int64_t vectors = int64_t{shape.k} * (shape.row_bytes / vpp::vector_bytes(addresses, shape.row_bytes));
    return (vectors + vpp::kRowChunk - 1) / vpp::kRowChunk;
}

uint64_t address(const void* pointer) {
    return reinterpret_cast<uint64_t>(pointer);
}

}  // namespace

extern "C" size_t vpp_gather_workspace_bytes(int32_t, int32_t, int32_t, int32_t, vpp_dtype) {
    return 0;
}

extern "C" size_t vpp_scatter_workspace_bytes(int32_t, int32_t, int32_t, int32_t, vpp_dtype) {
    return 0;
}

extern "C" cudaError_t vpp_gather(const void* tokens, const int32_t* indices, void* gathered, int32_t batch, int32_t n,
                                  int32_t k, int32_t channels, vpp_dtype dtype, void*, size_t, cudaStream_t stream) {
    if (!valid(batch, n, k, channels, dtype))
        return cudaErrorInvalidValue;
    const vpp::RowShape shape{n, k, channels * element_bytes(dtype)};
    const auto launch = configuration(move_blocks(address(tokens) | address(gathered), shape), batch, stream);
    return cudaLaunchKernelEx(&launch, gather_kernel, tokens, indices, gathered, shape);
}

extern "C" cudaError_t vpp_scatter(const void* base, const int32_t* indices, const void* tokens, void* scattered,
                                   int32_t batch, int32_t n, int32_t k, int32_t channels, vpp_dtype dtype, void*,
                                   size_t, cudaStream_t stream) {
    if (!valid(batch, n, k, channels, dtype))
        return cudaErrorInvalidValue;
    const vpp::RowShape shape{n, k, channels * element_bytes(dtype)};
    const int64_t blocks = base == scattered ? move_blocks(address(base) | address(tokens), shape)
                                             : vpp::ceil_div(n, vpp::scatter_rows_per_block(k, shape.row_bytes));
    const auto launch = configuration(blocks, batch, stream);
    return cudaLaunchKernelEx(&launch, scatter_kernel, base, indices, tokens, scattered, shape);
}
