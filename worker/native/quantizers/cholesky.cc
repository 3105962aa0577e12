// Blocked Cholesky factorization and triangular inverse on tiles of fixed size: single-threaded LAPACK on the diagonal, BLAS beside it, tiles over the pool.
#include <cblas.h>

#include <algorithm>
#include <vector>

#include "quantizers/gptq.h"

extern "C" {
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void strtri_(const char* uplo, const char* diag, const int* n, float* a, const int* lda, int* info);
}

namespace bitwright {
namespace {

constexpr int64_t tile = 256;

// LAPACK counts columns first: the lower triangle of a row-major matrix is its upper one.
int potrf(int n, float* a, int lda) {
  int info = 0;
  spotrf_("U", &n, a, &lda, &info);
  return info;
}
int potrf(int n, double* a, int lda) {
  int info = 0;
  dpotrf_("U", &n, a, &lda, &info);
  return info;
}
void trtri(int n, float* a, int lda) {
  int info = 0;
  strtri_("U", "N", &n, a, &lda, &info);
}
/// B [m × n] ← B · L⁻ᵀ, L [n × n] lower.
void solve_right(int m, int n, const float* L, float* B, int ld) { cblas_strsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, m, n, 1.0f, L, ld, B, ld); }
void solve_right(int m, int n, const double* L, double* B, int ld) { cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, m, n, 1.0, L, ld, B, ld); }
/// C [m × n] = alpha · op(A) · op(B) + beta · C.
void gemm(CBLAS_TRANSPOSE transpose_b, int m, int n, int k, float alpha, const float* A, int lda, const float* B, int ldb, float beta, float* C, int ldc) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
void gemm(CBLAS_TRANSPOSE transpose_b, int m, int n, int k, double alpha, const double* A, int lda, const double* B, int ldb, double beta, double* C, int ldc) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, transpose_b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

}  // namespace

template <class Real>
bool cholesky_lower(Pool& pool, int64_t n, Real* A) {
  const int ld = static_cast<int>(n);
  for (int64_t k = 0; k < n; k += tile) {
    const int64_t width = std::min(tile, n - k), next = k + width;
    Real* diagonal = A + k * n + k;
    if (potrf(static_cast<int>(width), diagonal, ld) != 0) return false;
    // NaN passes through LAPACK's own test.
    for (int64_t i = 0; i < width; ++i)
      if (!(diagonal[i * n + i] > 0)) return false;
    const int64_t n_below = (n - next + tile - 1) / tile;
    pool.parallel_for(n_below, [&](int64_t t) {
      const int64_t row = next + t * tile;
      solve_right(static_cast<int>(std::min(tile, n - row)), static_cast<int>(width), diagonal, A + row * n + k, ld);
    });
    pool.parallel_for(n_below * (n_below + 1) / 2, [&](int64_t index) {
      int64_t i = 0;
      while (index >= i + 1) index -= ++i;
      const int64_t row = next + i * tile, column = next + index * tile;
      gemm(CblasTrans, static_cast<int>(std::min(tile, n - row)), static_cast<int>(std::min(tile, n - column)), static_cast<int>(width), Real(-1), A + row * n + k, ld, A + column * n + k, ld,
           Real(1), A + row * n + column, ld);
    });
  }
  return true;
}

void invert_lower(Pool& pool, int64_t n, float* L) {
  const int ld = static_cast<int>(n);
  const int64_t n_tiles = (n + tile - 1) / tile;
  auto extent = [&](int64_t t) { return std::min(tile, n - t * tile); };
  pool.parallel_for(n_tiles, [&](int64_t t) {
    float* diagonal = L + t * tile * n + t * tile;
    trtri(static_cast<int>(extent(t)), diagonal, ld);
    // The tile enters whole products below, and the factorization's updates left values above its diagonal.
    for (int64_t i = 0; i < extent(t); ++i) std::fill(diagonal + i * n + i + 1, diagonal + i * n + extent(t), 0.0f);
  });
  // X_ij = -X_ii · Σ_k L_ik X_kj for j ≤ k < i, row of tiles by row of tiles: all X above row i are finished, L_ik of row i is still there.
  for (int64_t i = 1; i < n_tiles; ++i) {
    const int64_t height = extent(i), left = i * tile;
    std::vector<float> sums(static_cast<size_t>(height * left));
    pool.parallel_for(i, [&](int64_t j) {
      const int64_t column = j * tile, width = extent(j);
      gemm(CblasNoTrans, static_cast<int>(height), static_cast<int>(width), static_cast<int>(left - column), 1.0f, L + i * tile * n + column, ld, L + column * n + column, ld, 0.0f,
           sums.data() + column, static_cast<int>(left));
    });
    pool.parallel_for(i, [&](int64_t j) {
      const int64_t column = j * tile;
      gemm(CblasNoTrans, static_cast<int>(height), static_cast<int>(extent(j)), static_cast<int>(height), -1.0f, L + i * tile * n + i * tile, ld, sums.data() + column,
           static_cast<int>(left), 0.0f, L + i * tile * n + column, ld);
    });
  }
}

template bool cholesky_lower<float>(Pool&, int64_t, float*);
template bool cholesky_lower<double>(Pool&, int64_t, double*);

}  // namespace bitwright
