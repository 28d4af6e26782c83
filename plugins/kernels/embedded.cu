#include "associate_fma.cuh"
#include "associate_mma.cuh"
#include "embedded.cuh"
#include "rows.cuh"
#include "select.cuh"

namespace {

__device__ __forceinline__ void select_item(const float* scores, const uint8_t* active, int n, int k, bool by_score,
                                            int32_t* indices, uint16_t* scratch) {
    __shared__ vpp::SelectShared shared;
    const size_t item = blockIdx.x;
    vpp::select_tokens({scores + item * n, active + item * n}, n, k, by_score, indices + item * k, scratch, shared);
}

// Candidates [gridDim.y, n] of a batch item: each part of the keys writes its own, so nothing has to be zeroed.
template <typename Engine>
__device__ __forceinline__ void associate_parts(const void* queries, const void* keys, const int32_t* key_positions,
                                                int k, int c, int rows, int columns, unsigned long long* candidates) {
    static_assert(Engine::kQueries == 64, "as documented");
    const auto problem = vpp::association<typename Engine::Element>(queries, keys, key_positions, k, c, rows, columns);
    const size_t first = (static_cast<size_t>(blockIdx.z) * gridDim.y + blockIdx.y) * problem.n;
    vpp::associate<Engine>(problem,
                           [&](int query, unsigned long long candidate) { candidates[first + query] = candidate; });
}

}  // namespace

extern "C" {

__global__ void __launch_bounds__(vpp::kSelectThreads)
    vpp_select_embedded(const float* scores, const uint8_t* active, int32_t n, int32_t k, int32_t* indices) {
    select_item(scores, active, n, k, false, indices, nullptr);
}

__global__ void __launch_bounds__(vpp::kSelectThreads)
    vpp_select_by_score_embedded(const float* scores, const uint8_t* active, int32_t n, int32_t k, int32_t* indices) {
    select_item(scores, active, n, k, true, indices, vpp::dynamic_shared<uint16_t>());
}

__global__ void __launch_bounds__(vpp::kRowThreads)
    vpp_gather_embedded_f32(const void* tokens, const int32_t* indices, int32_t n, int32_t k, int32_t c,
                            void* gathered) {
    vpp::gather_tokens(tokens, indices, gathered, {n, k, c * 4});
}

__global__ void __launch_bounds__(vpp::kRowThreads)
    vpp_gather_embedded_f16(const void* tokens, const int32_t* indices, int32_t n, int32_t k, int32_t c,
                            void* gathered) {
    vpp::gather_tokens(tokens, indices, gathered, {n, k, c * 2});
}

__global__ void __launch_bounds__(vpp::kRowThreads)
    vpp_scatter_embedded_f32(const void* base, const int32_t* indices, const void* tokens, int32_t n, int32_t k,
                             int32_t c, void* scattered) {
    vpp::scatter_tokens(base, indices, tokens, scattered, {n, k, c * 4});
}

__global__ void __launch_bounds__(vpp::kRowThreads)
    vpp_scatter_embedded_f16(const void* base, const int32_t* indices, const void* tokens, int32_t n, int32_t k,
                             int32_t c, void* scattered) {
    vpp::scatter_tokens(base, indices, tokens, scattered, {n, k, c * 2});
}

__global__ void __launch_bounds__(vpp::FmaSmall::kThreads, 2)
    vpp_associate_parts_embedded_f32(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                                     int32_t c, int32_t rows, int32_t columns, unsigned long long* candidates) {
    associate_parts<vpp::FmaSmall>(queries, keys, key_positions, k, c, rows, columns, candidates);
}

__global__ void __launch_bounds__(vpp::MmaSmall<vpp::Half::kFloat16>::kThreads, 4)
    vpp_associate_parts_embedded_f16(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                                     int32_t c, int32_t rows, int32_t columns, unsigned long long* candidates) {
    associate_parts<vpp::MmaSmall<vpp::Half::kFloat16>>(queries, keys, key_positions, k, c, rows, columns, candidates);
}

__global__ void __launch_bounds__(vpp::MmaSmall<vpp::Half::kBFloat16>::kThreads, 4)
    vpp_associate_parts_embedded_bf16(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                                      int32_t c, int32_t rows, int32_t columns, unsigned long long* candidates) {
    associate_parts<vpp::MmaSmall<vpp::Half::kBFloat16>>(queries, keys, key_positions, k, c, rows, columns, candidates);
}

__global__ void __launch_bounds__(256)
    vpp_associate_best_embedded(const unsigned long long* candidates, int32_t parts, int32_t n, int32_t* source) {
    const int query = blockIdx.x * 256 + threadIdx.x;
    if (query >= n)
        return;
    const unsigned long long* of_item = candidates + static_cast<size_t>(blockIdx.z) * parts * n;
    unsigned long long best = 0;
    for (int part = 0; part < parts; ++part) {
        const unsigned long long candidate = of_item[static_cast<size_t>(part) * n + query];
        best = candidate > best ? candidate : best;
    }
    source[static_cast<size_t>(blockIdx.z) * n + query] = vpp::candidate_index(best);
}
}
