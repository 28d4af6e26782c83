#include "select.cuh"
#include "vpp_kernels.h"

namespace {

__global__ void __launch_bounds__(vpp::kSelectThreads)
    select_kernel(const float* scores, const uint8_t* active, int n, int k, bool by_score, int32_t* indices,
                  uint16_t* scratch) {
    __shared__ vpp::SelectShared shared;
    const size_t item = blockIdx.x;
    const vpp::Scores row{scores + item * n, active == nullptr ? nullptr : active + item * n};
    vpp::select_tokens(row, n, k, by_score, indices + item * k, by_score ? scratch + item * k : nullptr, shared);
}

}  // namespace

extern "C" size_t vpp_select_workspace_bytes(int32_t batch, int32_t, int32_t k, int32_t by_score) {
    return by_score ? sizeof(uint16_t) * batch * k : 0;
}

extern "C" cudaError_t vpp_select(const float* scores, const uint8_t* active, int32_t* indices, int32_t batch,
                                  int32_t n, int32_t k, int32_t by_score, void* workspace, size_t workspace_bytes,
                                  cudaStream_t stream) {
    if (batch < 1 || k < 1 || k > n || n > vpp::kSelectLimit ||
        workspace_bytes < vpp_select_workspace_bytes(batch, n, k, by_score)) {
        return cudaErrorInvalidValue;
    }
    cudaLaunchConfig_t launch{};
    launch.gridDim = dim3(batch);
    launch.blockDim = dim3(vpp::kSelectThreads);
    launch.stream = stream;
    return cudaLaunchKernelEx(&launch, select_kernel, scores, active, n, k, by_score != 0, indices,
                              static_cast<uint16_t*>(workspace));
}
