// Cholesky factor and its inverse by halves: see cholesky.cuh.
//
//   A = | A11      |   L11 L11ᵀ = A11, X11 = L11⁻¹         (the same for half the size)
//       | A21  A22 |   L21 = A21 X11ᵀ,  A22 ← A22 - L21 L21ᵀ
//                      L22 L22ᵀ = A22, X22 = L22⁻¹         (the same for half the size)
//                      X21 = -X22 L21 X11
//
// All but tiles of 64 are products of halves: 4/3 n³ multiply-adds, twice what is needed, at the rate of large products. L21 by the inverse of L11 instead
// of a triangular solve costs a factor of the condition of L11 in accuracy; what fails for it is tried again in double (gptq-factor.cu).
#include "quantizers/cholesky.cuh"

#include "cuda/launch.cuh"

namespace bitwright::cuda {
namespace {

constexpr int tile = 64, side = 16;

template <class Real>
__global__ void __launch_bounds__(side* side) factor_tile(int n, const Real* A, int64_t lda, Real* X, int64_t ldx, int32_t* failed) {
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
  // The inverse in place, from the last column to the first: X[i][j] = -(Σ_k X[i][k] L[k][j]) / L[j][j], j < k ≤ i.
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
  for (int i = y; i < n; i += side)
    for (int j = x; j < n; j += side) X[i * ldx + j] = j <= i ? L[i][j] : Real(0);
}

/// About half of n > 64, in whole tiles.
int64_t first_part(int64_t n) { return (n / tile + 1) / 2 * tile; }

template <class Real>
void halve(Context& context, int64_t n, Real* A, Real* X, int64_t ld, Real* scratch, int32_t* failed) {
  constexpr DType type = sizeof(Real) == 8 ? DType::F64 : DType::F32;
  if (n <= tile) {
    launch(context, 1, side * side, 0, factor_tile<Real>, static_cast<int>(n), A, ld, X, ld, failed);
    return;
  }
  const int64_t n1 = first_part(n), n2 = n - n1;
  Real *A21 = A + n1 * ld, *A22 = A21 + n1, *X21 = X + n1 * ld, *X22 = X21 + n1;
  halve(context, n1, A, X, ld, scratch, failed);
  Real* L21 = scratch;
  context.gemm(type, false, true, n2, n1, n1, 1, A21, ld, X, ld, 0, L21, n1);
  context.gemm(type, false, true, n2, n2, n1, -1, L21, n1, L21, n1, 1, A22, ld);
  // L21 X11 lies where A21 was, which nothing needs any more; so the scratch is free for the other half.
  context.gemm(type, false, false, n2, n1, n1, 1, L21, n1, X, ld, 0, A21, ld);
  halve(context, n2, A22, X22, ld, scratch, failed);
  context.gemm(type, false, false, n2, n1, n2, -1, X22, ld, A21, ld, 0, X21, ld);
}

}  // namespace

template <class Real>
void inverse_cholesky(Context& context, int64_t n, Real* A, Real* X, int32_t* failed) {
  context.clear(failed, sizeof(int32_t));
  if (n == 0) return;
  context.clear(X, n * n * static_cast<int64_t>(sizeof(Real)));
  // The first L21 is the largest.
  const Scratch<Real> scratch = context.scratch<Real>(n <= tile ? 1 : first_part(n) * (n - first_part(n)));
  halve(context, n, A, X, n, scratch.data(), failed);
}

template void inverse_cholesky<float>(Context&, int64_t, float*, float*, int32_t*);
template void inverse_cholesky<double>(Context&, int64_t, double*, double*, int32_t*);

}  // namespace bitwright::cuda
