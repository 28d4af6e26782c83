/* CUDA kernels of the four vpp ops behind a plain C interface.
 *
 * Every function enqueues its work on `stream` and returns: no allocation, no synchronisation, no default stream, so
 * all may be captured into a CUDA graph. Pointers are device pointers; tensors are contiguous and row-major. The
 * workspace is uninitialised memory of at least `..._workspace_bytes` bytes, aligned to 8 bytes, and is free again when
 * the work has run; where the size is 0 the pointer may be null.
 *
 * Errors: cudaErrorInvalidValue for sizes out of range, an unknown dtype or a workspace that is too small; otherwise
 * what the launch returned. Indices out of range are no error: see each function.
 */
#ifndef VPP_KERNELS_H
#define VPP_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { VPP_FLOAT32 = 0, VPP_FLOAT16 = 1, VPP_BFLOAT16 = 2 } vpp_dtype;

/* SelectTokens: the `k` best of scores [batch, n] per row -> indices [batch, k]; 1 <= k <= n <= 65536.
 *
 * `active` [batch, n], one byte each, or null for "all": an inactive token counts as -FLT_MAX. NaN ranks below
 * everything, -0 equals +0, equal scores rank by ascending position. by_score 0: ascending positions; otherwise
 * descending scores.
 */
size_t vpp_select_workspace_bytes(int32_t batch, int32_t n, int32_t k, int32_t by_score);
cudaError_t vpp_select(const float* scores, const uint8_t* active, int32_t* indices, int32_t batch, int32_t n,
                       int32_t k, int32_t by_score, void* workspace, size_t workspace_bytes, cudaStream_t stream);

/* GatherTokens: tokens [batch, n, channels] at indices [batch, k] -> gathered [batch, k, channels].
 * An index outside [0, n) gives a row of zeros.
 */
size_t vpp_gather_workspace_bytes(int32_t batch, int32_t n, int32_t k, int32_t channels, vpp_dtype dtype);
cudaError_t vpp_gather(const void* tokens, const int32_t* indices, void* gathered, int32_t batch, int32_t n, int32_t k,
                       int32_t channels, vpp_dtype dtype, void* workspace, size_t workspace_bytes, cudaStream_t stream);

/* ScatterTokens: base [batch, n, channels] with the rows at indices [batch, k] replaced by tokens [batch, k, channels]
 * -> scattered [batch, n, channels].
 * `scattered` may be `base`: then only the replaced rows are written. Any other overlap is not allowed. An index
 * outside [0, n) is skipped. Indices must not repeat: of repeated ones the last counts, in place an arbitrary one.
 */
size_t vpp_scatter_workspace_bytes(int32_t batch, int32_t n, int32_t k, int32_t channels, vpp_dtype dtype);
cudaError_t vpp_scatter(const void* base, const int32_t* indices, const void* tokens, void* scattered, int32_t batch,
                        int32_t n, int32_t k, int32_t channels, vpp_dtype dtype, void* workspace,
                        size_t workspace_bytes, cudaStream_t stream);

/* AssociateTokens: queries [batch, rows * columns, channels], keys [batch, k, channels], key_positions [batch, k]
 * -> source [batch, rows * columns], the index of the key with the highest dot product + positional term.
 *
 * Products are accumulated in float32; the positional term log10(5 (2 - d) + 1e-6) is float32 too, also for 16-bit
 * tokens. Equal similarities: the lower index. A NaN similarity never wins; 0 if all are NaN.
 */
size_t vpp_associate_workspace_bytes(int32_t batch, int32_t rows, int32_t columns, int32_t k, int32_t channels,
                                     vpp_dtype dtype);
cudaError_t vpp_associate(const void* queries, const void* keys, const int32_t* key_positions, int32_t* source,
                          int32_t batch, int32_t rows, int32_t columns, int32_t k, int32_t channels, vpp_dtype dtype,
                          void* workspace, size_t workspace_bytes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
