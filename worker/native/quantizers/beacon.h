// Beacon: choose the codes of a row by the angle between what they give and what the weights gave; the scale follows from the codes.
// Zhang and Saab, "Beacon: Post-Training Quantization with Integrated Grid Selection", arXiv 2508.20293.
//
//   paper     here       shape   meaning
//   w         w          m       weights of one cell (a row; with groups, those of a group)
//   A         a          m       codes as values of the unscaled grid: q - zero_point
//   X w, X q  –          –       never formed: with the Gram matrix S = Xᵀ X all that is asked for are inner products
//   –         S          m × m   Gram matrix of the inputs (R of the paper's QR gives the same: S = Rᵀ R)
//   –         unit       1       u, the scale that a row begins with (the observer's); v = u a are the codes in the units of w
//   –         b, e       m       S w, and S (w - v): what is left, kept by itself because at 8 bits it is the little difference of two large numbers
//   –         B, D       1       ‖Xv‖² and ‖Xv‖² - ⟨Xw, Xv⟩, so that cos² ∠(Xw, Xv) = (B - D)² / (B ‖Xw‖²), and h = S v = b - e
//   c         scale      1       ⟨Xw, Xq⟩ / ‖Xq‖² = u (1 - D / B), when the codes are found
//   K         n_sweeps   –       cyclic sweeps
//
//   start:   for t = 1 … m:  a_t = argmax over the grid of cos ∠(Σ_{j≤t} w_j X_j, Σ_{j<t} a_j X_j + a_t X_t)
//   sweep:   for t = 1 … m:  a_t = argmax over the grid of cos ∠(Xw, Xq), the other codes as they are
//
// Along one coordinate the cosine rises to one place and falls behind it, so that of the whole grid only its two neighbours are compared. With c = 1 - D / B
// and what is left at the best scale, l = e_t + (D / B) h_t, a step d of v_t
//
//   has its best place at     d* = l / (c S_tt - b_t h_t / B)                        (at the end of the grid towards l where the denominator is not positive)
//   adds to cos² ‖Xw‖²        d (2 c l + d (b_t² / B - c² S_tt)) · B / B'            with B' = B + 2 d h_t + d² S_tt, and cos must stay positive
//   leaves                    B', D' = D + d (h_t - e_t + d S_tt), e' = e - d S_:t
//
// No large numbers are subtracted there, so float decides. A code changes only when the gain is above 1e-5 of d² c² S_tt; the lower neighbour is taken when it is
// better by itself, else the upper; a sweep without a change is the last. Rows without a direction (B = 0) take the observer's rounding in the start and stay in
// sweeps; where the angle is wide (B ≤ D, the first columns of a start) the same comparison is made of α |α| / β in double. In a sweep a column in which
// neither the next code up nor down gains is passed over. Behind every sweep B, D and the objective ‖Xw‖² - ‖X (w - c v)‖² are summed anew in double.
//
// Differences from the paper. The grid is that of the scheme, -2^(b-1) … 2^(b-1)-1, so that the result is stored as other integers are; the paper's is symmetric.
// While all codes are zero there is no angle yet, and the observer's scale rounds the first weights. Asymmetric: the paper takes the mean off the weights and
// stores it; here the zero point is an integer of the grid, first the one that puts the mean in the middle (centering), then one more coordinate of every sweep.
// Groups: the paper has one scale for each channel. A group is a cell of its own, solved one after the other; its S is what is left of H when the columns behind
// it answer in the best way (the inverse of the block of H⁻¹, as in GPTQ), and its error is answered by them with GPTQ's step. With one group that is the paper's method.
// Cost: 2 m² operations per row each for b and e and at most 2 m² per sweep (only codes that change cost it: 5 % of them in the first sweep at 4 bits, 1 % in the
// fourth; the others a look of some ten operations); with groups of m columns I · O · m of these, and GPTQ's I² · O.
#pragma once
#include <cstdint>
#include <span>

#include "quantizers/row-tile.h"

namespace bitwright {

/// Columns of a row that a sweep looks at together.
inline constexpr int64_t beacon_look = 32;

/// 16 rows of a cell of m columns. The start has them side by side, arrays are [m × 16]; the sweeps one behind the other, [16 × stride] with zeros behind the m.
struct BeaconTile {
  /// `stride`: m and as much as makes it a multiple of `beacon_look`.
  int64_t n_rows = row_lanes, m = 0, stride = 0;
  const float* S = nullptr;
  int64_t ld = 0;
  /// [stride], zeros behind the m.
  const float* diagonal = nullptr;
  /// 1 where the code stays at the value zero (dead inputs); or null.
  const uint8_t* pinned = nullptr;
  /// Bit i of word j: column 32 j + i is one of the m, and not pinned. A sweep's.
  const uint32_t* open = nullptr;
  /// Σ_j S_jk over the columns that are not pinned: what a step of the zero point changes. Null without centering.
  const float* column_sums = nullptr;
  float *w = nullptr, *a = nullptr, *b = nullptr, *e = nullptr;
  float unit[row_lanes] = {}, zero_point[row_lanes] = {};
  float B[row_lanes] = {}, D[row_lanes] = {};
  /// ‖Xw‖²; and behind the start and every sweep α² / β, and the scale α / β of the codes (0 where they say nothing).
  double target[row_lanes] = {}, explained[row_lanes] = {}, scale[row_lanes] = {};
  float qmin = 0, qmax = 0;
  /// No code and no zero point changed in the last sweep.
  bool settled = false;
};

/// As many tiles of one cell start side by side: they have nothing to do with each other, but a decision waits for its own operations one after the other, and
/// those of the next tile fill the waiting.
inline constexpr int64_t beacon_tiles = 2;

/// The greedy start: codes, b and e.
void beacon_start(std::span<BeaconTile> tiles);
/// b and e from codes that are there.
void beacon_resume(BeaconTile& tile);
/// ‖Xw‖² of row r, arrays as the sweeps have them.
void beacon_target(BeaconTile& tile, int64_t r);
/// B, D, what is explained and the scale of row r: before the first sweep, and where one changed it.
void beacon_measure(BeaconTile& tile, int64_t r);
/// One cyclic sweep; nothing where the last one changed nothing.
void beacon_sweep(BeaconTile& tile);

}  // namespace bitwright
