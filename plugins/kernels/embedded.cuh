// clang-format off
// One kernel per op for ahead-of-time TensorRT plugins, whose PTX is embedded in the engine: parameters are the input
// pointers, int32 arguments, the output pointer; no workspace. b: batch, and n, k, c as in vpp_kernels.h.
//
// entry (extern "C")                 parameters                                                         grid                      block
// ---------------------------------  -----------------------------------------------------------------  ------------------------  -----
// vpp_select_embedded                scores f32, active u8, n, k, indices i32                           (b, 1, 1)                 1024
// vpp_select_by_score_embedded       scores f32, active u8, n, k, indices i32                           (b, 1, 1)                 1024
// vpp_gather_embedded_f32            tokens, indices i32, n, k, c, gathered                             (ceil(k c / 4096), b, 1)   256
// vpp_gather_embedded_f16            tokens, indices i32, n, k, c, gathered                             (ceil(k c / 8192), b, 1)   256
// vpp_scatter_embedded_f32           base, indices i32, tokens, n, k, c, scattered                      (ceil(n / r), b, 1)        256
// vpp_scatter_embedded_f16           base, indices i32, tokens, n, k, c, scattered                      (ceil(n / r), b, 1)        256
// vpp_associate_parts_embedded_f32   queries, keys, key_positions i32, k, c, rows, columns, candidates  (ceil(n / 64), parts, b)   256
// vpp_associate_parts_embedded_f16   queries, keys, key_positions i32, k, c, rows, columns, candidates  (ceil(n / 64), parts, b)   128
// vpp_associate_parts_embedded_bf16  queries, keys, key_positions i32, k, c, rows, columns, candidates  (ceil(n / 64), parts, b)   128
// vpp_associate_best_embedded        candidates, parts, n, source i32                                   (ceil(n / 256), 1, b)      256
// clang-format on
//
// * Dynamic shared memory: 2 k bytes for vpp_select_by_score_embedded, which takes k <= 4096; 0 for all others. Static
//   shared memory of every entry is below 48 KiB, so that no attribute has to be set.
// * vpp_gather_embedded_f16 and vpp_scatter_embedded_f16 move any 16-bit type, so bfloat16 too.
// * Gather and scatter are right with any grid along x; the one given is good where rows and addresses are multiples of
//   16 bytes. r = max(32768, 16 k) / (c * element bytes), rounded up, at most 2048 (scatter_rows_per_block in
//   common.h). Their grid's y is the batch, at most 65535. An item has at most 2^29 elements.
// * vpp_scatter_embedded_* work in place where `scattered` is `base` (an aliased plugin output).
// * Association is two kernels: between them are 64-bit candidates [b, parts, n], for TensorRT int32 [b, parts, n, 2].
//   Keys are shared out among `parts` blocks, at least 1 and at most ceil(k / 64). n = rows * columns.
// * Semantics, limits of the sizes, ties and indices out of range: as in vpp_kernels.h. All need sm_80 or later.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

extern "C" {

__global__ void vpp_select_embedded(const float* scores, const uint8_t* active, int32_t n, int32_t k, int32_t* indices);
__global__ void vpp_select_by_score_embedded(const float* scores, const uint8_t* active, int32_t n, int32_t k,
                                             int32_t* indices);

__global__ void vpp_gather_embedded_f32(const void* tokens, const int32_t* indices, int32_t n, int32_t k, int32_t c,
                                        void* gathered);
__global__ void vpp_gather_embedded_f16(const void* tokens, const int32_t* indices, int32_t n, int32_t k, int32_t c,
                                        void* gathered);

__global__ void vpp_scatter_embedded_f32(const void* base, const int32_t* indices, const void* tokens, int32_t n,
                                         int32_t k, int32_t c, void* scattered);
__global__ void vpp_scatter_embedded_f16(const void* base, const int32_t* indices, const void* tokens, int32_t n,
                                         int32_t k, int32_t c, void* scattered);

__global__ void vpp_associate_parts_embedded_f32(const void* queries, const void* keys, const int32_t* key_positions,
                                                 int32_t k, int32_t c, int32_t rows, int32_t columns,
                                                 unsigned long long* candidates);
__global__ void vpp_associate_parts_embedded_f16(const void* queries, const void* keys, const int32_t* key_positions,
                                                 int32_t k, int32_t c, int32_t rows, int32_t columns,
                                                 unsigned long long* candidates);
__global__ void vpp_associate_parts_embedded_bf16(const void* queries, const void* keys, const int32_t* key_positions,
                                                  int32_t k, int32_t c, int32_t rows, int32_t columns,
                                                  unsigned long long* candidates);
__global__ void vpp_associate_best_embedded(const unsigned long long* candidates, int32_t parts, int32_t n,
                                            int32_t* source);
}
