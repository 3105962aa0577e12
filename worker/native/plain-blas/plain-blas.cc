// Plain loops behind the interfaces of cblas.h, in the forms that the core calls them in; LAPACK's factor and inverse of the upper triangle of a matrix
// that counts columns first are those of the lower triangle of a row-major one.
#include "plain-blas/cblas.h"

#include <cmath>

namespace {

template <class Real>
void gemm(bool transpose_a, bool transpose_b, int M, int N, int K, Real alpha, const Real* A, int lda, const Real* B, int ldb, Real beta, Real* C, int ldc) {
  for (int i = 0; i < M; ++i) {
    Real* row = C + static_cast<long>(i) * ldc;
    for (int j = 0; j < N; ++j) row[j] = beta == 0 ? Real(0) : beta * row[j];
    if (transpose_b) {
      for (int j = 0; j < N; ++j) {
        Real sum = 0;
        for (int k = 0; k < K; ++k) sum += (transpose_a ? A[static_cast<long>(k) * lda + i] : A[static_cast<long>(i) * lda + k]) * B[static_cast<long>(j) * ldb + k];
        row[j] += alpha * sum;
      }
      continue;
    }
    for (int k = 0; k < K; ++k) {
      const Real factor = alpha * (transpose_a ? A[static_cast<long>(k) * lda + i] : A[static_cast<long>(i) * lda + k]);
      for (int j = 0; j < N; ++j) row[j] += factor * B[static_cast<long>(k) * ldb + j];
    }
  }
}

template <class Real>
void solve_right(int M, int N, const Real* L, int ldl, Real* B, int ldb) {
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) {
      Real sum = B[static_cast<long>(i) * ldb + j];
      for (int k = 0; k < j; ++k) sum -= B[static_cast<long>(i) * ldb + k] * L[static_cast<long>(j) * ldl + k];
      B[static_cast<long>(i) * ldb + j] = sum / L[static_cast<long>(j) * ldl + j];
    }
}

template <class Real>
void factor(int n, Real* A, int lda, int* info) {
  *info = 0;
  for (int j = 0; j < n; ++j) {
    Real pivot = A[static_cast<long>(j) * lda + j];
    for (int k = 0; k < j; ++k) pivot -= A[static_cast<long>(j) * lda + k] * A[static_cast<long>(j) * lda + k];
    if (!(pivot > 0)) {
      *info = j + 1;
      return;
    }
    const Real root = std::sqrt(pivot);
    A[static_cast<long>(j) * lda + j] = root;
    for (int i = j + 1; i < n; ++i) {
      Real sum = A[static_cast<long>(i) * lda + j];
      for (int k = 0; k < j; ++k) sum -= A[static_cast<long>(i) * lda + k] * A[static_cast<long>(j) * lda + k];
      A[static_cast<long>(i) * lda + j] = sum / root;
    }
  }
}

template <class Real>
void invert(int n, Real* L, int ldl, int* info) {
  *info = 0;
  for (int j = 0; j < n; ++j) {
    L[static_cast<long>(j) * ldl + j] = Real(1) / L[static_cast<long>(j) * ldl + j];
    for (int i = j + 1; i < n; ++i) {
      Real sum = 0;
      for (int k = j; k < i; ++k) sum += L[static_cast<long>(i) * ldl + k] * L[static_cast<long>(k) * ldl + j];
      L[static_cast<long>(i) * ldl + j] = -sum / L[static_cast<long>(i) * ldl + i];
    }
  }
}

}  // namespace

extern "C" {

void cblas_sgemm(CBLAS_ORDER, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int M, int N, int K, float alpha, const float* A, int lda, const float* B, int ldb, float beta, float* C, int ldc) {
  gemm(ta == CblasTrans, tb == CblasTrans, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}
void cblas_dgemm(CBLAS_ORDER, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int M, int N, int K, double alpha, const double* A, int lda, const double* B, int ldb, double beta, double* C, int ldc) {
  gemm(ta == CblasTrans, tb == CblasTrans, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}
void cblas_ssyrk(CBLAS_ORDER, CBLAS_UPLO, CBLAS_TRANSPOSE, int N, int K, float alpha, const float* A, int lda, float beta, float* C, int ldc) {
  for (int i = 0; i < N; ++i) gemm(true, false, 1, i + 1, K, alpha, A + i, lda, A, lda, beta, C + static_cast<long>(i) * ldc, ldc);
}
void cblas_strsm(CBLAS_ORDER, CBLAS_SIDE, CBLAS_UPLO, CBLAS_TRANSPOSE, CBLAS_DIAG, int M, int N, float, const float* A, int lda, float* B, int ldb) { solve_right(M, N, A, lda, B, ldb); }
void cblas_dtrsm(CBLAS_ORDER, CBLAS_SIDE, CBLAS_UPLO, CBLAS_TRANSPOSE, CBLAS_DIAG, int M, int N, double, const double* A, int lda, double* B, int ldb) { solve_right(M, N, A, lda, B, ldb); }
void openblas_set_num_threads(int) {}
const char* openblas_get_corename() { return "plain"; }

void spotrf_(const char*, const int* n, float* a, const int* lda, int* info) { factor(*n, a, *lda, info); }
void dpotrf_(const char*, const int* n, double* a, const int* lda, int* info) { factor(*n, a, *lda, info); }
void strtri_(const char*, const char*, const int* n, float* a, const int* lda, int* info) { invert(*n, a, *lda, info); }

}  // extern "C"
