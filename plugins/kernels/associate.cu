#include <limits>

#include "associate_fma.cuh"
#include "associate_mma.cuh"
#include "vpp_kernels.h"

namespace {

struct Arguments {
    const void* queries;
    const void* keys;
    const int32_t* key_positions;
    int32_t* source;
    unsigned long long* merged;
    int k, channels, rows, columns;
};

template <typename Engine>
__global__ void __launch_bounds__(Engine::kThreads, 512 / Engine::kThreads) associate_kernel(Arguments a) {
    const auto problem = vpp::association<typename Engine::Element>(a.queries, a.keys, a.key_positions, a.k, a.channels,
                                                                    a.rows, a.columns);
    const size_t first = static_cast<size_t>(blockIdx.z) * problem.n;
    vpp::associate<Engine>(problem, [&](int query, unsigned long long candidate) {
        if (gridDim.y == 1) {
            a.source[first + query] = vpp::candidate_index(candidate);
        } else {
            atomicMax(&a.merged[first + query], candidate);  // they start as zeros
        }
    });
}

__global__ void candidate_indices_kernel(const unsigned long long* merged, int32_t* source, int64_t count) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count)
        source[i] = vpp::candidate_index(merged[i]);
}

template <typename Engine>
cudaError_t launch(const Arguments& arguments, const vpp::AssociatePlan& plan, int batch, cudaStream_t stream) {
    cudaLaunchConfig_t launch{};
    launch.gridDim = dim3(plan.query_tiles, plan.splits, batch);
    launch.blockDim = dim3(Engine::kThreads);
    launch.stream = stream;
    return cudaLaunchKernelEx(&launch, associate_kernel<Engine>, arguments);
}

template <typename Large, typename Small>
cudaError_t launch(const Arguments& arguments, const vpp::AssociatePlan& plan, int batch, cudaStream_t stream) {
    static_assert(Large::kQueries == 128 && Large::kKeys == 128 && Small::kQueries == 64 && Small::kKeys == 64, "plan");
    return plan.tile == 128 ? launch<Large>(arguments, plan, batch, stream)
                            : launch<Small>(arguments, plan, batch, stream);
}

cudaError_t launch(vpp_dtype dtype, const Arguments& arguments, const vpp::AssociatePlan& plan, int batch,
                   cudaStream_t stream) {
    using vpp::Half;
    switch (dtype) {
        case VPP_FLOAT32:
            return launch<vpp::FmaLarge, vpp::FmaSmall>(arguments, plan, batch, stream);
        case VPP_FLOAT16:
            return launch<vpp::MmaLarge<Half::kFloat16>, vpp::MmaSmall<Half::kFloat16>>(arguments, plan, batch, stream);
        case VPP_BFLOAT16:
            return launch<vpp::MmaLarge<Half::kBFloat16>, vpp::MmaSmall<Half::kBFloat16>>(arguments, plan, batch,
                                                                                          stream);
    }
    return cudaErrorInvalidValue;
}

}  // namespace

extern "C" size_t vpp_associate_workspace_bytes(int32_t batch, int32_t rows, int32_t columns, int32_t, int32_t,
                                                vpp_dtype) {
    return sizeof(unsigned long long) * batch * rows * columns;
}

extern "C" cudaError_t vpp_associate(const void* queries, const void* keys, const int32_t* key_positions,
                                     int32_t* source, int32_t batch, int32_t rows, int32_t columns, int32_t k,
                                     int32_t channels, vpp_dtype dtype, void* workspace, size_t workspace_bytes,
                                     cudaStream_t stream) {
    constexpr int64_t kLimit = std::numeric_limits<int32_t>::max() / 2;
    if (batch < 1 || batch > 65535 || rows < 1 || columns < 1 || int64_t{rows} * columns > kLimit || k < 1 ||
        k > kLimit || channels < 1 || channels > kLimit ||
        workspace_bytes < vpp_associate_workspace_bytes(batch, rows, columns, k, channels, dtype)) {
        return cudaErrorInvalidValue;
    }
    const int n = rows * columns;
    const vpp::AssociatePlan plan = vpp::associate_plan(batch, n, k);
    auto* merged = static_cast<unsigned long long*>(workspace);
    const Arguments arguments{queries, keys, key_positions, source, merged, k, channels, rows, columns};
    if (plan.splits == 1)
        return launch(dtype, arguments, plan, batch, stream);

    const int64_t count = int64_t{batch} * n;
    cudaError_t error = cudaMemsetAsync(merged, 0, sizeof(unsigned long long) * count, stream);
    if (error == cudaSuccess)
        error = launch(dtype, arguments, plan, batch, stream);
    if (error != cudaSuccess)
        return error;
    constexpr int kThreads = 256;
    cudaLaunchConfig_t unpack{};
    unpack.gridDim = dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads));
    unpack.blockDim = dim3(kThreads);
    unpack.stream = stream;
    return cudaLaunchKernelEx(&unpack, candidate_indices_kernel, static_cast<const unsigned long long*>(merged), source,
                              count);
}
