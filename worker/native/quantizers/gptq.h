// GPTQ: round the columns of W one by one and spread each rounding error over the columns that are still free, weighted by the inverse Hessian.
// Frantar et al., arXiv 2210.17323 (the algorithm box of section 4), as llm-compressor 0.13 runs it.
//
//   paper   here        shape       meaning
//   W       Wt          I × O       weights, kept transposed: one row per input column, in solving order
//   H       H           I × I       Hessian of the layer's squared error, 2 X Xᵀ; only its direction matters
//   H⁻¹     U           I × I       upper factor: (H + damping)⁻¹ = Uᵀ U
//   B       block_size  –           columns handled before the rest is updated (lazy update)
//   δ, err  E           B × O       error of each column divided by U[j, j]
//
//   for each block, for each column j in it:  q = quantize(W[:, j]);  E[:, j] = (W[:, j] - q) / U[j, j];  W[:, j:] -= E[:, j] · U[j, j:]
//   then                                      W[:, block end:] -= E · U[block, block end:]
//
// Differences from the paper: columns may be solved in the order of descending diag(H) (actorder); dead columns (diag(H) = 0) are set to zero;
// the factor comes from one Cholesky of the index-reversed Hessian and a triangular inverse, ⅔ I³ operations instead of 4/3 I³.
// Cost: ⅔ I³ + I² · O operations, a multiply-add counted as two; I² + I · O floats beside W.
#pragma once
#include <cstdint>

#include "core/operation.h"

namespace bitwright {

/// Blocked lower Cholesky in place on fixed tiles: A [n × n] row-major, lower triangle. False when A is not positive definite.
template <class Real>
bool cholesky_lower(Pool& pool, int64_t n, Real* A);

/// Inverse of the lower triangular L [n × n] in place; what stands above the diagonal is not part of the result.
template <class Real>
void invert_lower(Pool& pool, int64_t n, Real* L);

}  // namespace bitwright
