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

template <typename Engine>
__device__ __forceinline__ void associate_strip(const void* queries, const void* keys, const int32_t* key_positions,
                                                int k, int c, int rows, int columns, int32_t* source) {
    static_assert(Engine::kQueries == 32 && Engine::kThreads == 256, "as documented");
    const auto problem = vpp::association<typename Engine::Element>(queries, keys, key_positions, k, c, rows, columns);
    vpp::associate<Engine>(problem, source + static_cast<size_t>(blockIdx.z) * problem.n, nullptr);
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

__global__ void __launch_bounds__(256, 2)
    vpp_associate_embedded_f32(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                               int32_t c, int32_t rows, int32_t columns, int32_t* source) {
    associate_strip<vpp::FmaStrip>(queries, keys, key_positions, k, c, rows, columns, source);
}

__global__ void __launch_bounds__(256, 2)
    vpp_associate_embedded_f16(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                               int32_t c, int32_t rows, int32_t columns, int32_t* source) {
    associate_strip<vpp::MmaStrip<vpp::Half::kFloat16>>(queries, keys, key_positions, k, c, rows, columns, source);
}

__global__ void __launch_bounds__(256, 2)
    vpp_associate_embedded_bf16(const void* queries, const void* keys, const int32_t* key_positions, int32_t k,
                                int32_t c, int32_t rows, int32_t columns, int32_t* source) {
    associate_strip<vpp::MmaStrip<vpp::Half::kBFloat16>>(queries, keys, key_positions, k, c, rows, columns, source);
}
}
