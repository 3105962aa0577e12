// Matrix products on fixed tiles: single-threaded BLAS per tile, tiles over our pool. Row-major, F32.
#pragma once
#include <cstdint>

#include "core/pool.h"

namespace bitwright {

/// C [M×N] = alpha · A [M×K] · B [N×K]ᵀ + beta · C; lda, ldb, ldc are row strides.
void gemm_nt(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc);
/// C [M×N] = alpha · A [M×K] · B [K×N] + beta · C.
void gemm_nn(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc);
/// C [M×N] = alpha · A [K×M]ᵀ · B [K×N] + beta · C.
void gemm_tn(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc);
/// C [N×N] = alpha · A [K×N]ᵀ · A + beta · C, both triangles.
void syrk_tn(Pool& pool, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, float beta, float* C, int64_t ldc);
/// Keeps BLAS on one thread; called once when the library is loaded.
void make_blas_single_threaded();
/// Name of the kernels that OpenBLAS has chosen for this processor, or that OPENBLAS_CORETYPE names: "Haswell" (AVX2), "SkylakeX" (AVX-512), …
const char* blas_kernels();

}  // namespace bitwright
