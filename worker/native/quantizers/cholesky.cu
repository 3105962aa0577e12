// Cholesky factor and the inverse of a triangle by halves: see cholesky.cuh.
//
//   A = | A11      |   L11 L11ᵀ = A11                      (the same for half the size)
//       | A21  A22 |   L21 = A21 L11⁻ᵀ,  A22 ← A22 - L21 L21ᵀ
//                      L22 L22ᵀ = A22                      (the same for half the size)
//
//   B L⁻ᵀ:   B = (B1 B2):  B1 ← B1 L11⁻ᵀ,  B2 ← B2 - B1 L21ᵀ,  B2 ← B2 L22⁻ᵀ
//   L⁻¹:     X11 = L11⁻¹,  X22 = L22⁻¹,  X21 = -X22 L21 X11
//
// All but tiles of 64 are matrix products; tiles on the diagonal are factored and inverted by one block of threads, so that a solve ends in products too.
#include "quantizers/cholesky.cuh"

#include "cuda/launch.cuh"

namespace bitwright::cuda {
namespace {

constexpr int tile = 64, side = 16;

/// L ← L⁻¹ for the lower triangle in shared memory, from the last column to the first: X[i][j] = -(Σ_k X[i][k] L[k][j]) / L[j][j], j < k ≤ i.
template <class Real>
__device__ void invert_shared(Real (*L)[tile + 1], int n, int thread) {
  for (int j = n - 1; j >= 0; --j) {
    const Real inverse = Real(1) / L[j][j];
    Real sum = 0;
    if (thread > j && thread < n)
      for (int k = j + 1; k <= thread; ++k) sum += L[thread][k] * L[k][j];
    __syncthreads();
    if (thread == j) L[j][j] = inverse;
    else if (thread > j && thread < n) L[thread][j] = -sum * inverse;
    __syncthreads();
  }
}

/// A ← L with A = L Lᵀ, and X ← L⁻¹ of one tile; above X's diagonal stands 0.
template <class Real>
__global__ void __launch_bounds__(side* side) factor_tile(int n, Real* A, int64_t lda, Real* X, int32_t* failed) {
  __shared__ Real L[tile][tile + 1];
  const int thread = static_cast<int>(threadIdx.x), x = thread % side, y = thread / side;
  for (int i = y; i < n; i += side)
    for (int j = x; j < n; j += side) L[i][j] = j <= i ? A[i * lda + j] : Real(0);
  __syncthreads();
  for (int k = 0; k < n; ++k) {
    const Real pivot = L[k][k];
    // Also NaN is not above 0. All threads see the same pivot and leave together.
    if (!(pivot > 0)) {
      if (thread == 0) *failed = 1;
      return;
    }
    const Real root = sqrt(pivot);
    __syncthreads();
    for (int i = k + thread; i < n; i += side * side) L[i][k] = i == k ? root : L[i][k] / root;
    __syncthreads();
    for (int i = k + 1 + y; i < n; i += side)
      for (int j = k + 1 + x; j <= i; j += side) L[i][j] -= L[i][k] * L[j][k];
    __syncthreads();
  }
  for (int i = y; i < n; i += side)
    for (int j = x; j <= i; j += side) A[i * lda + j] = L[i][j];
  __syncthreads();
  invert_shared(L, n, thread);
  for (int i = y; i < n; i += side)
    for (int j = x; j < n; j += side) X[i * tile + j] = j <= i ? L[i][j] : Real(0);
}

__global__ void __launch_bounds__(side* side) invert_tile(int n, const float* from, float* X, int64_t ld) {
  __shared__ float L[tile][tile + 1];
  const int thread = static_cast<int>(threadIdx.x), x = thread % side, y = thread / side;
  for (int i = y; i < n; i += side)
    for (int j = x; j < n; j += side) L[i][j] = j <= i ? from[i * ld + j] : 0.0f;
  __syncthreads();
  invert_shared(L, n, thread);
  for (int i = y; i < n; i += side)
    for (int j = x; j <= i; j += side) X[i * ld + j] = L[i][j];
}

/// About half of n > 64, in whole tiles.
int64_t first_part(int64_t n) { return (n / tile + 1) / 2 * tile; }

/// A factorization that goes on: the matrix, the inverses of the tiles on its diagonal, room for rows of a tile.
template <class Real>
struct Halving {
  Context& context;
  Real* A;
  int64_t ld;
  Real *tiles, *scratch;
  int32_t* failed;
  static constexpr DType type = sizeof(Real) == 8 ? DType::F64 : DType::F32;

  Real* at(int64_t row, int64_t column) const { return A + row * ld + column; }

  /// Rows [row, row + n_rows) of columns [first, first + n): B ← B L⁻ᵀ, L the triangle of these columns.
  void solve(int64_t row, int64_t n_rows, int64_t first, int64_t n) const {
    if (n <= tile) {
      Real *const B = at(row, first), *const solved = scratch;
      const int64_t stride = ld;
      context.gemm(type, false, true, n_rows, n, n, 1, B, ld, tiles + first * tile, tile, 0, solved, n);
      for_rows(context, n_rows, n, [=] __device__(int64_t i, int64_t j) { B[i * stride + j] = solved[i * n + j]; });
      return;
    }
    const int64_t n1 = first_part(n), middle = first + n1;
    solve(row, n_rows, first, n1);
    context.gemm(type, false, true, n_rows, n - n1, n1, -1, at(row, first), ld, at(middle, first), ld, 1, at(row, middle), ld);
    solve(row, n_rows, middle, n - n1);
  }

  void factor(int64_t first, int64_t n) const {
    if (n <= tile) {
      context.step();
      launch(context, 1, side * side, 0, factor_tile<Real>, static_cast<int>(n), at(first, first), ld, tiles + first * tile, failed);
      return;
    }
    const int64_t n1 = first_part(n), n2 = n - n1, middle = first + n1;
    factor(first, n1);
    solve(middle, n2, first, n1);
    context.gemm(type, false, true, n2, n2, n1, -1, at(middle, first), ld, at(middle, first), ld, 1, at(middle, middle), ld);
    factor(middle, n2);
  }
};

void invert(Context& context, int64_t n, const float* L, float* X, int64_t ld, float* scratch) {
  if (n <= tile) {
    context.step();
    launch(context, 1, side * side, 0, invert_tile, static_cast<int>(n), L, X, ld);
    return;
  }
  const int64_t n1 = first_part(n), n2 = n - n1, corner = n1 * ld + n1;
  invert(context, n1, L, X, ld, scratch);
  invert(context, n2, L + corner, X + corner, ld, scratch);
  context.gemm(DType::F32, false, false, n2, n1, n1, 1, L + n1 * ld, ld, X, ld, 0, scratch, n1);
  context.gemm(DType::F32, false, false, n2, n1, n2, -1, X + corner, ld, scratch, n1, 0, X + n1 * ld, ld);
}

}  // namespace

template <class Real>
void cholesky_lower(Context& context, int64_t n, Real* A, int32_t* failed) {
  context.clear(failed, sizeof(int32_t));
  if (n == 0) return;
  const Scratch<Real> tiles = context.scratch<Real>((n + tile - 1) / tile * tile * tile), scratch = context.scratch<Real>(n * tile);
  Halving<Real>{context, A, n, tiles.data(), scratch.data(), failed}.factor(0, n);
}

void invert_lower(Context& context, int64_t n, const float* L, float* X) {
  if (n == 0) return;
  context.clear(X, n * n * static_cast<int64_t>(sizeof(float)));
  // The first half is the largest.
  const Scratch<float> scratch = context.scratch<float>(n <= tile ? 1 : first_part(n) * (n - first_part(n)));
  invert(context, n, L, X, n, scratch.data());
}

template void cholesky_lower<float>(Context&, int64_t, float*, int32_t*);
template void cholesky_lower<double>(Context&, int64_t, double*, int32_t*);

}  // namespace bitwright::cuda
