// GPTQ: round the columns of W one by one and answer each rounding error in the columns that are still free, as the Hessian asks for.
// Frantar et al., arXiv 2210.17323 (the algorithm box of section 4), as llm-compressor 0.13 runs it; in the form of LDLQ (Chee et al., "QuIP", arXiv 2307.13304),
// which chooses the same codes and needs no inverse.
//
//   papers        here        shape       meaning
//   W             w           I × O       weights, one row per input column, in solving order; they stay as they are
//   H             H           I × I       Hessian of the layer's squared error, 2 X Xᵀ; only its direction matters
//   (U + I) √D    R           I × I       upper factor: H + damping = R Rᵀ. The paper's factor of the inverse is R⁻¹
//   –             V           I × O       Σ_{j<k} (w_j - ŵ_j) R[j, k], of the columns j that are rounded
//   B             block_size  –           columns handled before the rest is updated (lazy update)
//   W - Ŵ         E           B × O       what the codes of a block leave of its weights
//   err           –           O           V[k] + (w_k - ŵ_k) R[k, k]: the paper's (W[:, k] - q) / U[k, k]; half its square is the loss
//
//   for each block, for each column k in it:  ŵ_k = quantize(w_k + V[k] / R[k, k]);  V[k + 1:] += (w_k - ŵ_k) R[k, k + 1:]
//   then                                      V[block end:] += R[block, block end:]ᵀ E
//
// Differences from the paper: columns may be solved in the order of descending diag(H) (actorder); dead columns (diag(H) = 0) are set to zero;
// the factor is one Cholesky of the index-reversed Hessian, ⅓ I³ operations instead of 4/3 I³.
// Cost: ⅓ I³ + I² · O operations, a multiply-add counted as two; I² + I · O floats beside W.
#pragma once
#include <cstdint>

#include "core/operation.h"

namespace bitwright {

/// Blocked lower Cholesky in place on fixed tiles: A [n × n] row-major, lower triangle. False when A is not positive definite.
template <class Real>
bool cholesky_lower(Pool& pool, int64_t n, Real* A);

/// Inverse of the lower triangular L [n × n] in place; what stands above the diagonal is not part of the result.
void invert_lower(Pool& pool, int64_t n, float* L);

}  // namespace bitwright
