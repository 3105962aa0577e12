// Cholesky factor, and the inverse of a triangle, on matrix products.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

/// A ← L with A = L Lᵀ, [n × n] row-major; only the lower triangle is read, and above the diagonal stands nothing of use.
/// *failed becomes 1 when A is not positive definite; A then means nothing. Real is float or double.
template <class Real>
void cholesky_lower(Context& context, int64_t n, Real* A, int32_t* failed);

/// X ← L⁻¹ of the lower triangle of L, [n × n] row-major; above X's diagonal stands 0.
void invert_lower(Context& context, int64_t n, const float* L, float* X);

}  // namespace bitwright::cuda
