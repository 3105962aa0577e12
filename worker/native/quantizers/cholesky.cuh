// Cholesky factor and its inverse together, on matrix products: all that GPTQ needs of a Hessian is the inverse of the factor.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

/// X ← L⁻¹ with A = L Lᵀ, both [n × n] row-major; of A only the lower triangle is read, and A is overwritten. Above X's diagonal stands 0.
/// *failed becomes 1 when A is not positive definite; X then means nothing. Real is float or double.
template <class Real>
void inverse_cholesky(Context& context, int64_t n, Real* A, Real* X, int32_t* failed);

}  // namespace bitwright::cuda
