// Decisions of Beacon for 16 rows at once, each about one coordinate of its own: legend in beacon.h, formulas of one row in beacon-step.h.
#pragma once
#include <algorithm>
#include <cstdint>

#include "quantizers/beacon-step.h"
#include "quantizers/beacon.h"
#include "quantizers/row-tile.h"

namespace bitwright {

/// What the step of one coordinate is chosen from; arrays of one value for each row.
struct BeaconCoordinates {
  const float *from, *b, *e, *lo, *hi;
  /// Where there is no direction yet.
  const float* nearest;
  const float* S;
};

/// Rows whose angle is narrow, or that have no direction yet: their steps, ‖Xv‖² and D behind them. False when a row's angle is wide.
inline __attribute__((always_inline)) bool choose_narrow(const BeaconCoordinates& at, const BeaconTile& tile, float* codes, float* B, float* D) {
  const float *__restrict from = at.from, *__restrict bs = at.b, *__restrict es = at.e, *__restrict lo = at.lo, *__restrict hi = at.hi, *__restrict first = at.nearest;
  const float *__restrict S = at.S, *__restrict Bs = tile.B, *__restrict Ds = tile.D, *__restrict units = tile.unit;
  uint32_t wide = 0;
  for (int64_t r = 0; r < row_lanes; ++r) {
    const BeaconStep step = narrow_step({from[r], bs[r], es[r], lo[r], hi[r], first[r], S[r]}, Bs[r], Ds[r], units[r]);
    codes[r] = step.code;
    B[r] = step.B;
    D[r] = step.D;
    wide |= is_wide(Bs[r], Ds[r]) ? 1u : 0u;
  }
  return wide == 0;
}

/// The same for any angle, row by row in double.
void choose_any(const BeaconCoordinates& at, BeaconTile& tile, float* steps);

/// Chooses the step of each row's coordinate and takes it in B and D.
inline __attribute__((always_inline)) void take_steps(const BeaconCoordinates& at, BeaconTile& tile, float* steps) {
  float codes[row_lanes], B[row_lanes], D[row_lanes];
  if (!choose_narrow(at, tile, codes, B, D)) return choose_any(at, tile, steps);
  std::copy_n(codes, row_lanes, steps);
  std::copy_n(B, row_lanes, tile.B);
  std::copy_n(D, row_lanes, tile.D);
}

}  // namespace bitwright
