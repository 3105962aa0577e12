// SparseGPT: go through the columns of W, set the weights to zero that cost least, and spread what each zero costs over the columns still free.
// Frantar and Alistarh, arXiv 2301.00774 (algorithm 1), as llm-compressor 0.13 runs it; with a grid the joint step of its section 3.4, where the weights that
// stay are rounded in the same pass, so that one error makes up for the other.
//
//   paper    here         shape       meaning
//   W        Wt           I × O       weights, kept transposed: one row per input column, in solving order
//   H⁻¹      U            I × I       upper factor of the damped inverse, (H + damping)⁻¹ = Uᵀ U: GPTQ's inverted (inverse_factor)
//   M        mask         O × I       1 where a weight becomes zero (the paper's M is 1 where it stays)
//   ε_ij     score        O × B       W_ij² / U_jj²: what setting it to zero costs
//   B_s      block_size   –           columns whose mask is chosen together; N:M is chosen group by group
//   B        –            –           columns handled before the rest is updated, here the same
//   E        E            B × O       error of each column divided by U[j, j]
//
//   for each block:   M = the share of all O × B weights of the block with the smallest ε, and those that are to stay zero
//     for each column j in it:   q = 0 where M, else W[:, j], or its nearest value on the grid;   E[:, j] = (W[:, j] - q) / U[j, j];   W[:, j:] -= E[:, j] · U[j, j:]
//   then   W[:, block end:] -= E · U[block, block end:]
//
// Differences: exactly ⌊share · O · B⌋ weights of a block become zero (the peer compares with ≤ the next one, which is one more, and all ties); dead columns
// (diag(H) = 0) are zero, as in GPTQ; with n of m a block ends where a group does. Cost: that of GPTQ's columns, and 2 passes over each block for its mask.
#pragma once
#include <algorithm>

#include "pruning/select.h"
#include "quantizers/grid.h"

namespace bitwright {

/// Columns whose mask is chosen together: groups of m stay whole.
inline int64_t selection_block(const Sparsity& sparsity, int64_t block_size) {
  return sparsity.structured() ? std::max<int64_t>(1, block_size / sparsity.m) * sparsity.m : block_size;
}

/// What setting a weight to zero costs; no NaN and no negative number for finite weights and a diagonal above 0.
BITWRIGHT_PORTABLE inline float zero_cost(float w, float diagonal) {
  const float scaled = w / diagonal;
  return scaled * scaled;
}

/// What stands for a weight, and what that leaves.
struct SettledWeight {
  /// A code of the grid; without a grid the weight itself.
  float value;
  float error;
};

/// Without a grid. w - w is 0, and tells of a weight that is not finite.
struct NoGrid {
  BITWRIGHT_PORTABLE static SettledWeight settle(float w, bool is_zero, float, float, float inverse_diagonal, float, float) {
    const float value = is_zero ? 0.0f : w;
    return {value, (w - value) * inverse_diagonal};
  }
};

/// On the grid of a scale of type T. The zero point stands for 0.
template <class T, class Codes>
struct OnGrid {
  BITWRIGHT_PORTABLE static SettledWeight settle(float w, bool is_zero, float scale, float zero_point, float inverse_diagonal, float qmin, float qmax) {
    const float q = is_zero ? zero_point : code_of<F32Type, Codes>(w, scale, zero_point, qmin, qmax);
    return {q, (w - rounded_to<T>(rounded_to<T>(q - zero_point) * scale)) * inverse_diagonal};
  }
};

/// Calls fn with OnGrid of a scale's dtype and a grid's codes.
template <class Fn>
void with_settling(const Grid& grid, DType scale, Fn&& fn) {
  with_weight_type(scale, [&](auto type) { with_codes(grid, [&](auto codes) { fn(OnGrid<decltype(type), decltype(codes)>{}, codes); }); });
}

}  // namespace bitwright
