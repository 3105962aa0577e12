// The part of the CBLAS and LAPACK interfaces that the core uses, for builds on machines without OpenBLAS (BITWRIGHT_BLAS=plain): the suite of the
// CUDA backend needs the processor's results to compare with, and only CMake, a compiler and CUDA to be there. Slow; never in the Node addon.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { CblasRowMajor = 101 } CBLAS_ORDER;
typedef enum { CblasNoTrans = 111, CblasTrans = 112 } CBLAS_TRANSPOSE;
typedef enum { CblasUpper = 121, CblasLower = 122 } CBLAS_UPLO;
typedef enum { CblasNonUnit = 131 } CBLAS_DIAG;
typedef enum { CblasRight = 142 } CBLAS_SIDE;

void cblas_sgemm(CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int M, int N, int K, float alpha, const float* A, int lda, const float* B, int ldb, float beta, float* C, int ldc);
void cblas_dgemm(CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int M, int N, int K, double alpha, const double* A, int lda, const double* B, int ldb, double beta, double* C, int ldc);
/// Lower triangle of C = alpha · Aᵀ A + beta · C: the one form that is used.
void cblas_ssyrk(CBLAS_ORDER, CBLAS_UPLO, CBLAS_TRANSPOSE, int N, int K, float alpha, const float* A, int lda, float beta, float* C, int ldc);
/// B ← B · L⁻ᵀ with L lower: the one form that is used.
void cblas_strsm(CBLAS_ORDER, CBLAS_SIDE, CBLAS_UPLO, CBLAS_TRANSPOSE, CBLAS_DIAG, int M, int N, float alpha, const float* A, int lda, float* B, int ldb);
void cblas_dtrsm(CBLAS_ORDER, CBLAS_SIDE, CBLAS_UPLO, CBLAS_TRANSPOSE, CBLAS_DIAG, int M, int N, double alpha, const double* A, int lda, double* B, int ldb);
void openblas_set_num_threads(int n_threads);
const char* openblas_get_corename();

#ifdef __cplusplus
}
#endif
