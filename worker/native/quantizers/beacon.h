// Beacon: choose the codes of a row by the angle between what they give and what the weights gave; the scale follows from the codes.
// Zhang and Saab, "Beacon: Post-Training Quantization with Integrated Grid Selection", arXiv 2508.20293.
//
//   paper     here       shape   meaning
//   w         w          m       weights of one cell (a row; with groups, those of a group)
//   A         a          m       codes as values of the unscaled grid: q - zero_point
//   X w, X q  –          –       never formed: with the Gram matrix S = Xᵀ X all that is asked for are inner products
//   –         S          m × m   Gram matrix of the inputs (R of the paper's QR gives the same: S = Rᵀ R)
//   –         b, g       m       S w and S a
//   –         α, β       1       ⟨Xw, Xq⟩ = bᵀa and ‖Xq‖² = aᵀg, so that cos² ∠(Xw, Xq) = α² / (β ‖Xw‖²)
//   c         scale      1       ⟨Xw, Xq⟩ / ‖Xq‖² = α / β, when the codes are found
//   K         n_sweeps   –       cyclic sweeps
//
//   start:   for t = 1 … m:  a_t = argmax over the grid of cos ∠(Σ_{j≤t} w_j X_j, Σ_{j<t} a_j X_j + a_t X_t)
//   sweep:   for t = 1 … m:  a_t = argmax over the grid of cos ∠(Xw, Xq), the other codes as they are
//
// Along one coordinate the cosine rises to one place and falls behind it, δ* = (b_t β - α g_t) / (α S_tt - b_t g_t), so that of the whole grid only its two
// neighbours are compared. A code changes only when the cosine grows: the objective never decreases, and a sweep without a change is the last.
//
// Differences from the paper. The grid is that of the scheme, -2^(b-1) … 2^(b-1)-1, so that the result is stored as other integers are; the paper's is symmetric.
// While all codes are zero there is no angle yet, and the observer's scale rounds the first weights. Asymmetric: the paper takes the mean off the weights and
// stores it; here the zero point is an integer of the grid, first the one that puts the mean in the middle (centering), then one more coordinate of every sweep.
// Groups: the paper has one scale for each channel. A group is a cell of its own, solved one after the other; its S is what is left of H when the columns behind
// it answer in the best way (the inverse of the block of H⁻¹, as in GPTQ), and its error is spread over them by GPTQ's step. With one group that is the paper's method.
// Cost: 2 m² operations per row each for b and g and at most 2 m² per sweep (columns whose codes stay cost nothing); with groups of m columns I · O · m of
// these, and GPTQ's I² · O.
#pragma once
#include <cstdint>

#include "quantizers/row-tile.h"

namespace bitwright {

/// 16 rows of a cell of m columns: arrays are [m × 16].
struct BeaconTile {
  int64_t m = 0;
  const float* S = nullptr;
  int64_t ld = 0;
  /// 1 where the code stays at the value zero (dead inputs); or null.
  const uint8_t* pinned = nullptr;
  /// Σ_j S_jk over the columns that are not pinned, and Σ_k of these: what a step of the zero point changes. Null without centering.
  const float* column_sums = nullptr;
  const float* w = nullptr;
  float *a = nullptr, *b = nullptr, *g = nullptr;
  double alpha[row_lanes] = {}, beta[row_lanes] = {};
  /// Of the observer; and the zero point, which a sweep may move.
  float scale[row_lanes] = {}, zero_point[row_lanes] = {};
  float qmin = 0, qmax = 0;
};

/// The greedy start: fills a, b, g, α and β.
void beacon_start(BeaconTile& tile);
/// b, g, α and β of codes that are there.
void beacon_resume(BeaconTile& tile);
/// One cyclic sweep; false when no code and no zero point changed.
bool beacon_sweep(BeaconTile& tile);

}  // namespace bitwright
