// The step of one code of one row in Beacon, shared by the backends; legend and formulas in beacon.h.
#pragma once
#include <cmath>

#include "quantizers/grid.h"

namespace bitwright {

/// No direction below this ‖Xv‖².
inline constexpr float no_length = 1e-30f;
/// A code changes when the gain is more than this part of d² S_tt: below it is the rounding of e.
inline constexpr float least_gain = 1e-5f;

/// One coordinate of a row: its value now, b and e there, the ends of the grid, the value where there is no direction yet, S_tt.
struct BeaconCoordinate {
  float now, b, e, low, high, nearest, S;
};
/// What its value changes by, B and D behind that.
struct BeaconStep {
  float code, B, D;
};

/// B > 0 and ⟨Xw, Xv⟩ ≤ 0.
BITWRIGHT_PORTABLE inline __attribute__((always_inline)) bool is_wide(float B, float D) {
  const float length = B > no_length ? B : 1.0f, c = 1.0f - D * (1.0f / length), wide = c > 0 ? 0.0f : length;
  return (B > no_length ? wide : 0.0f) != 0;
}

/// For a row whose angle is narrow, or that has no direction yet.
BITWRIGHT_PORTABLE inline __attribute__((always_inline)) BeaconStep narrow_step(const BeaconCoordinate& at, float B, float D, float unit) {
  const float b = at.b, e = at.e, h = b - e, now = at.now, low = at.low, high = at.high, S = at.S;
  const float length = B > no_length ? B : 1.0f, inverse = 1.0f / length, away = D * inverse, c = 1.0f - away, left = e + away * h;
  const float slope = c * S - b * h * inverse, bend = b * b * inverse - c * c * S;
  const float end = left > 0 ? high : low, inner = now + left / (slope * unit), best = slope > 0 ? inner : end;
  const float bounded = best > low ? best : low, inside = bounded < high ? bounded : high;
  const float nearest = round_half_even(inside), below = nearest - (nearest > inside ? 1.0f : 0.0f), above = below + (below < inside ? 1.0f : 0.0f);
  const float d1 = (below - now) * unit, d2 = (above - now) * unit;
  // (cos²(d) - cos²(0)) ‖Xw‖² times ‖Xv‖² behind the step over that before it; what turns away counts as the worst.
  const float gain1 = c * B + d1 * b > 0 ? d1 * (2 * c * left + d1 * bend) : -1e30f, length1 = B + d1 * (2 * h + d1 * S);
  const float gain2 = c * B + d2 * b > 0 ? d2 * (2 * c * left + d2 * bend) : -1e30f, length2 = B + d2 * (2 * h + d2 * S);
  const float cross1 = gain1 * length2, cross2 = gain2 * length1;
  const float d = cross1 > cross2 ? d1 : d2, gain = cross1 > cross2 ? gain1 : gain2, chosen = cross1 > cross2 ? below : above;
  const float better = gain > least_gain * c * c * d * d * S ? chosen : now, to = B > no_length ? better : at.nearest, moved = (to - now) * unit;
  return {to - now, B + moved * (2 * h + moved * S), D + moved * (h - e + moved * S)};
}

/// cos² with its sign, times ‖Xw‖².
BITWRIGHT_PORTABLE inline double beacon_merit(double alpha, double beta) { return beta > static_cast<double>(no_length) ? alpha * std::fabs(alpha) / beta : -1e300; }

/// The same for any angle, in double: the first columns of a start, and rows whose inputs are nearly dependent.
BITWRIGHT_PORTABLE inline BeaconStep any_step(const BeaconCoordinate& at, float length, float difference, float unit_of_row) {
  const double unit = unit_of_row, B = length, D = difference, A = B - D, b = at.b, h = b - static_cast<double>(at.e), S = at.S, now = at.now, low = at.low, high = at.high;
  const double slope = A * S - b * h, rise = b * B - A * h;
  const double best = slope > 0 ? now + rise / slope / unit : rise > 0 ? high : low;
  const double inside = best > low ? (best < high ? best : high) : low;
  double to = now, value = beacon_merit(A, B);
  for (int i = 0; i < 2; ++i) {
    const double p = i == 0 ? std::floor(inside) : std::ceil(inside), d = (p - now) * unit, one = beacon_merit(A + d * b, B + 2 * d * h + d * d * S);
    if (!(one > value)) continue;
    to = p;
    value = one;
  }
  if (!(B > static_cast<double>(no_length))) to = static_cast<double>(at.nearest);
  const double moved = (to - now) * unit;
  return {static_cast<float>(to - now), static_cast<float>(B + moved * (2 * h + moved * S)), static_cast<float>(D + moved * (2 * h - b + moved * S))};
}

}  // namespace bitwright
