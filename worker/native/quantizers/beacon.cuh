// What the kernels of a Beacon cell work on: legend in beacon.h, the walk in column-walk.cuh. Arrays are transposed, [m × padded rows] or [padded rows].
#pragma once
#include "quantizers/column-walk.cuh"

namespace bitwright::cuda {

/// A cell: columns [first, first + m) of all rows.
struct BeaconCell {
  Cells cells;
  int64_t m, ld, padded, group, first;
  const float *S, *w;
  /// 1 where the code stays at the value zero (dead inputs); or null.
  const uint8_t* pinned;
  /// Σ_j S_jk over the columns that are not pinned, and Σ_k of these; null where the zero point stays.
  float* column_sums;
  double* total;
  float *a, *b, *e;
  /// S w of the columns before: for the start.
  float* prefix;
  /// What e of all columns changes by behind a block: w - v of its columns, or what v changes by.
  float* changes;
  float *unit, *zero_point, *B, *D, *zero_step;
  double *explained, *scale;
  /// 1 when a code or a zero point changed.
  int32_t* changed;
  float qmin, qmax;

  __device__ bool is_pinned(int64_t k) const { return pinned != nullptr && pinned[k] != 0; }
};

/// P = R_gg⁻¹ (upper) and S = R_gg R_ggᵀ of every group, [groups × m × m], sums in double.
void group_metrics(Context& context, const float* R, int64_t n_columns, int64_t m, float* P, float* S);
/// Fills column_sums and total.
void sum_columns(Context& context, const BeaconCell& cell);
/// The greedy start, from codes of zero.
void start_cell(Context& context, const BeaconCell& cell);
/// From the codes in a.
void resume_cell(Context& context, const BeaconCell& cell);
/// One cyclic sweep.
void sweep_cell(Context& context, const BeaconCell& cell);

}  // namespace bitwright::cuda
