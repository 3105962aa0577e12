// Matrix products on fixed tiles: see gemm.h.
#include "core/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <vector>

namespace bitwright {
namespace {

// Tiles hold enough work to hide BLAS's packing and are many enough for a few threads; they depend on the shape alone, and those of 256 rows are the same
// among more: a product of rows 256 · i to 256 · j, or of all behind 256 · i, has the bits of these rows in the whole.
constexpr int64_t tile_rows = 256, tile_columns = 512;
// Below this many multiply-adds up to 256 rows of a product run as one tile: waking a thread costs more.
constexpr int64_t small_product = 1 << 18;

template <class Fn>
void over_tiles(Pool& pool, int64_t M, int64_t N, int64_t K, const Fn& fn) {
  if (M == 0 || N == 0) return;
  const int64_t columns = std::min(M, tile_rows) * N * K <= small_product ? N : tile_columns;
  const int64_t n_column_tiles = (N + columns - 1) / columns;
  pool.parallel_for((M + tile_rows - 1) / tile_rows * n_column_tiles, [&](int64_t tile) {
    const int64_t row = tile / n_column_tiles * tile_rows, column = tile % n_column_tiles * columns;
    fn(row, column, std::min(tile_rows, M - row), std::min(columns, N - column));
  });
}

int narrow(int64_t value) { return static_cast<int>(value); }

void mirror(int64_t N, float* C, int64_t ldc) {
  for (int64_t r = 0; r < N; ++r)
    for (int64_t c = 0; c < r; ++c) C[c * ldc + r] = C[r * ldc + c];
}

// A tall product with few columns is one tile: it is split along K instead, into fixed parts that are added in order.
constexpr int64_t part_rows = 2048;

void tall_syrk(Pool& pool, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, float beta, float* C, int64_t ldc) {
  const int64_t n_parts = (K + part_rows - 1) / part_rows;
  std::vector<float> parts(static_cast<size_t>(n_parts * N * N));
  pool.parallel_for(n_parts, [&](int64_t part) {
    const int64_t begin = part * part_rows, rows = std::min(part_rows, K - begin);
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, narrow(N), narrow(rows), alpha, A + begin * lda, narrow(lda), 0.0f, parts.data() + part * N * N, narrow(N));
  });
  for (int64_t r = 0; r < N; ++r)
    for (int64_t c = 0; c <= r; ++c) {
      float sum = beta == 0 ? 0.0f : beta * C[r * ldc + c];
      for (int64_t part = 0; part < n_parts; ++part) sum += parts[static_cast<size_t>(part * N * N + r * N + c)];
      C[r * ldc + c] = sum;
    }
  mirror(N, C, ldc);
}

}  // namespace

void gemm_nt(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc) {
  over_tiles(pool, M, N, K, [&](int64_t row, int64_t column, int64_t m, int64_t n) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, narrow(m), narrow(n), narrow(K), alpha, A + row * lda, narrow(lda), B + column * ldb, narrow(ldb), beta,
                C + row * ldc + column, narrow(ldc));
  });
}

void gemm_nn(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc) {
  over_tiles(pool, M, N, K, [&](int64_t row, int64_t column, int64_t m, int64_t n) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, narrow(m), narrow(n), narrow(K), alpha, A + row * lda, narrow(lda), B + column, narrow(ldb), beta,
                C + row * ldc + column, narrow(ldc));
  });
}

void gemm_tn(Pool& pool, int64_t M, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C, int64_t ldc) {
  over_tiles(pool, M, N, K, [&](int64_t row, int64_t column, int64_t m, int64_t n) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, narrow(m), narrow(n), narrow(K), alpha, A + row, narrow(lda), B + column, narrow(ldb), beta, C + row * ldc + column,
                narrow(ldc));
  });
}

void syrk_tn(Pool& pool, int64_t N, int64_t K, float alpha, const float* A, int64_t lda, float beta, float* C, int64_t ldc) {
  if (N == 0) return;
  if (N <= tile_rows && K > part_rows) return tall_syrk(pool, N, K, alpha, A, lda, beta, C, ldc);
  const int64_t tile = N * N * K <= 2 * small_product ? N : tile_rows;
  const int64_t n_tiles = (N + tile - 1) / tile;
  // Lower triangle of tiles; each mirrors itself above the diagonal.
  pool.parallel_for(n_tiles * (n_tiles + 1) / 2, [&](int64_t index) {
    int64_t i = 0;
    while (index >= i + 1) index -= ++i;
    const int64_t row = i * tile, column = index * tile;
    const int64_t m = std::min(tile, N - row), n = std::min(tile, N - column);
    float* block = C + row * ldc + column;
    if (row == column)
      cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, narrow(m), narrow(K), alpha, A + row, narrow(lda), beta, block, narrow(ldc));
    else
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, narrow(m), narrow(n), narrow(K), alpha, A + row, narrow(lda), A + column, narrow(lda), beta, block, narrow(ldc));
    for (int64_t r = 0; r < m; ++r)
      for (int64_t c = 0; c < n && column + c < row + r; ++c) C[(column + c) * ldc + row + r] = block[r * ldc + c];
  });
}

void make_blas_single_threaded() { openblas_set_num_threads(1); }

const char* blas_kernels() { return openblas_get_corename(); }

}  // namespace bitwright
