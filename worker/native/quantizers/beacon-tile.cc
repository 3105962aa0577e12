// Beacon's steps on 16 rows of a cell: see beacon.h for the legend.
//
// Decisions are float, sums over a cell double. What a column changes reaches its 16 neighbours at once, its block of 128 columns behind the 16, and the rest of
// the cell behind the block.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/vector-math.h"
#include "quantizers/beacon-step.h"
#include "quantizers/beacon.h"
#include "quantizers/grid.h"
#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

constexpr int64_t n_rows = row_lanes;
/// What the step of one coordinate is chosen from; arrays of one value for each row.
struct Coordinate {
  const float *from, *b, *e, *lo, *hi;
  /// Where there is no direction yet.
  const float* nearest;
  float S;
};

/// Steps of the codes of one coordinate, ‖Xv‖² and D behind them.
struct Steps {
  float codes[n_rows], B[n_rows], D[n_rows];
};

/// Rows whose angle is narrow, or that have no direction yet. False when a row's angle is wide.
inline __attribute__((always_inline)) bool choose_narrow(const Coordinate& at, const BeaconTile& tile, Steps& steps) {
  const float *__restrict from = at.from, *__restrict bs = at.b, *__restrict es = at.e, *__restrict lo = at.lo, *__restrict hi = at.hi, *__restrict first = at.nearest;
  const float *__restrict Bs = tile.B, *__restrict Ds = tile.D, *__restrict units = tile.unit;
  const float S = at.S;
  uint32_t wide = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    const BeaconStep step = narrow_step({from[r], bs[r], es[r], lo[r], hi[r], first[r], S}, Bs[r], Ds[r], units[r]);
    steps.codes[r] = step.code;
    steps.B[r] = step.B;
    steps.D[r] = step.D;
    wide |= is_wide(Bs[r], Ds[r]) ? 1u : 0u;
  }
  return wide == 0;
}

/// What stays the same from one change of a row to its next: 1 / B, D / B, and α / β in units; `limit` is 0 for a row without direction, whose codes stay.
struct Angle {
  float inverse[n_rows], away[n_rows], c[n_rows], limit[n_rows];
};

inline __attribute__((always_inline)) void find_angle(const BeaconTile& tile, Angle& angle) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const float length = tile.B[r] > no_length ? tile.B[r] : 1.0f, inverse = 1.0f / length, away = tile.D[r] * inverse;
    angle.inverse[r] = inverse;
    angle.away[r] = away;
    angle.c[r] = 1.0f - away;
    angle.limit[r] = tile.B[r] > no_length ? 1.0f : 0.0f;
  }
}

/// True when in no row the next code up or down is better; nothing else can be, since the cosine has one top along a coordinate. Most columns of late sweeps.
inline __attribute__((always_inline)) bool all_stay(const Coordinate& at, const BeaconTile& tile, const Angle& angle) {
  const float *__restrict from = at.from, *__restrict bs = at.b, *__restrict es = at.e, *__restrict lo = at.lo, *__restrict hi = at.hi;
  uint32_t any = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    const float b = bs[r], c = angle.c[r], left = es[r] + angle.away[r] * (b - es[r]), bend = b * b * angle.inverse[r] - c * c * at.S;
    const float up = hi[r] - from[r], down = from[r] - lo[r], room = left > 0 ? up : down, pull = 2 * c * std::fabs(left);
    const float gain = ((room > 0 ? pull : 0.0f) + bend * tile.unit[r]) * angle.limit[r], moves = gain <= 0 ? 0.0f : 1.0f;
    any |= bits_of(c > 0 ? moves : angle.limit[r]);
  }
  return any == 0;
}

/// The same for any angle, row by row in double.
void choose_any(const Coordinate& at, BeaconTile& tile, float* steps) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const BeaconStep step = any_step({at.from[r], at.b[r], at.e[r], at.lo[r], at.hi[r], at.nearest[r], at.S}, tile.B[r], tile.D[r], tile.unit[r]);
    steps[r] = step.code;
    tile.B[r] = step.B;
    tile.D[r] = step.D;
  }
}

/// Chooses the step of one coordinate and takes it in B and D.
inline __attribute__((always_inline)) void take_step(const Coordinate& at, BeaconTile& tile, float* step) {
  Steps steps;
  if (!choose_narrow(at, tile, steps)) return choose_any(at, tile, step);
  std::copy_n(steps.codes, n_rows, step);
  std::copy_n(steps.B, n_rows, tile.B);
  std::copy_n(steps.D, n_rows, tile.D);
}

BITWRIGHT_VECTOR void choose_step(const Coordinate& at, BeaconTile& tile, float* step) { take_step(at, tile, step); }

/// add_columns of one column for the few of a sub-block.
inline __attribute__((always_inline)) void add_column(float* g, int64_t begin, int64_t end, const float* s, const float* delta) {
  const Rows change = rows_at(delta);
  for (int64_t k = begin; k < end; ++k) rows_at(g + k * n_rows) += s[k] * change;
}

bool is_pinned(const BeaconTile& tile, int64_t t) { return tile.pinned != nullptr && tile.pinned[t] != 0; }

void bounds(const BeaconTile& tile, float* lo, float* hi) {
  for (int64_t r = 0; r < n_rows; ++r) {
    lo[r] = tile.qmin - tile.zero_point[r];
    hi[r] = tile.qmax - tile.zero_point[r];
  }
}

/// y = S x over the columns of the cell.
void multiply(const BeaconTile& tile, const float* x, float* y) {
  std::fill_n(y, tile.m * n_rows, 0.0f);
  int64_t columns[column_block];
  for (int64_t begin = 0; begin < tile.m; begin += column_block) {
    const int64_t count = std::min(tile.m, begin + column_block) - begin;
    for (int64_t c = 0; c < count; ++c) columns[c] = begin + c;
    add_columns(y, 0, tile.m, tile.S, tile.ld, columns, count, x + begin * n_rows);
  }
}

/// B, D and what is explained, in double from b, e and the codes.
BITWRIGHT_VECTOR void measure(BeaconTile& tile) {
  double lengths[n_rows] = {}, away[n_rows] = {}, left[n_rows] = {}, target[n_rows] = {};
  for (int64_t k = 0; k < tile.m; ++k)
    for (int64_t r = 0; r < n_rows; ++r) {
      const int64_t i = k * n_rows + r;
      const double w = tile.w[i], v = tile.a[i] * tile.unit[r], b = tile.b[i], e = tile.e[i];
      target[r] += w * b;
      lengths[r] += v * (b - e);
      away[r] -= v * e;
      left[r] += (w - v) * e;
    }
  for (int64_t r = 0; r < n_rows; ++r) {
    const double B = lengths[r], D = away[r];
    tile.B[r] = static_cast<float>(B);
    tile.D[r] = static_cast<float>(D);
    // A NaN goes on into what is explained.
    const double alpha = B - D;
    tile.explained[r] = B <= 0 ? 0.0 : alpha > 0 ? target[r] - (left[r] - D * D / B) : -alpha * alpha / B;
    tile.scale[r] = B > 0 ? static_cast<double>(tile.unit[r]) * (1 - D / B) : 0.0;
  }
}

/// The zero point as one more coordinate: all values of a row move by one and the same step.
bool move_zero_points(BeaconTile& tile) {
  float b[n_rows], e[n_rows], from[n_rows] = {}, lo[n_rows], hi[n_rows], step[n_rows];
  double b_sums[n_rows] = {}, e_sums[n_rows] = {}, total = 0;
  for (int64_t k = 0; k < tile.m; ++k) {
    if (is_pinned(tile, k)) continue;
    total += static_cast<double>(tile.column_sums[k]);
    for (int64_t r = 0; r < n_rows; ++r) {
      b_sums[r] += static_cast<double>(tile.b[k * n_rows + r]);
      e_sums[r] += static_cast<double>(tile.e[k * n_rows + r]);
    }
  }
  for (int64_t r = 0; r < n_rows; ++r) {
    b[r] = static_cast<float>(b_sums[r]);
    e[r] = static_cast<float>(e_sums[r]);
    lo[r] = tile.zero_point[r] - tile.qmax;
    hi[r] = tile.zero_point[r] - tile.qmin;
  }
  choose_step({from, b, e, lo, hi, from, static_cast<float>(total)}, tile, step);
  bool moved = false;
  for (int64_t r = 0; r < n_rows; ++r) moved |= step[r] != 0;
  if (!moved) return false;
  for (int64_t k = 0; k < tile.m; ++k)
    for (int64_t r = 0; r < n_rows; ++r) {
      if (!is_pinned(tile, k)) tile.a[k * n_rows + r] += step[r];
      tile.e[k * n_rows + r] -= step[r] * tile.unit[r] * tile.column_sums[k];
    }
  for (int64_t r = 0; r < n_rows; ++r) tile.zero_point[r] -= step[r];
  return true;
}

/// The start's columns [begin, end) of a sub-block.
BITWRIGHT_VECTOR void start_columns(BeaconTile& tile, int64_t begin, int64_t end, const float* lo, const float* hi, ColumnChanges& targets, ColumnChanges& rests) {
  float e[n_rows], nearest[n_rows], rest[n_rows], D[n_rows];
  for (int64_t t = begin; t < end; ++t) {
    if (is_pinned(tile, t)) continue;
    const float *__restrict w = tile.w + t * n_rows, *__restrict S = tile.S + t * tile.ld, *__restrict b = tile.b + t * n_rows, *__restrict e_before = tile.e + t * n_rows;
    float* a = tile.a + t * n_rows;
    const float S_tt = S[t];
    // The target grows by w_t X_t, then the codes by a_t X_t.
    for (int64_t r = 0; r < n_rows; ++r) {
      const float code = round_half_even(w[r] / tile.unit[r]), bounded = code > lo[r] ? code : lo[r];
      D[r] = tile.D[r] - w[r] * (b[r] - e_before[r]);
      e[r] = e_before[r] + w[r] * S_tt;
      nearest[r] = bounded < hi[r] ? bounded : hi[r];
    }
    std::copy_n(D, n_rows, tile.D);
    add_column(tile.b, begin, end, S, w);
    take_step({a, b, e, lo, hi, nearest, S_tt}, tile, a);
    for (int64_t r = 0; r < n_rows; ++r) rest[r] = w[r] - a[r] * tile.unit[r];
    add_column(tile.e, begin, end, S, rest);
    targets.add(t, w);
    rests.add(t, rest);
  }
}

/// A sweep's columns [begin, end) of a sub-block.
BITWRIGHT_VECTOR void sweep_columns(BeaconTile& tile, int64_t begin, int64_t end, const float* lo, const float* hi, ColumnChanges& codes) {
  float step[n_rows], change[n_rows];
  Angle angle;
  find_angle(tile, angle);
  for (int64_t t = begin; t < end; ++t) {
    if (is_pinned(tile, t)) continue;
    float* a = tile.a + t * n_rows;
    const float* S = tile.S + t * tile.ld;
    const Coordinate at{a, tile.b + t * n_rows, tile.e + t * n_rows, lo, hi, a, S[t]};
    if (all_stay(at, tile, angle)) continue;
    take_step(at, tile, step);
    find_angle(tile, angle);
    for (int64_t r = 0; r < n_rows; ++r) change[r] = -step[r] * tile.unit[r];
    if (!codes.add(t, change)) continue;
    for (int64_t r = 0; r < n_rows; ++r) a[r] += step[r];
    add_column(tile.e, begin, end, S, change);
  }
}

}  // namespace

void beacon_start(BeaconTile& tile) {
  const int64_t m = tile.m;
  std::fill_n(tile.a, m * n_rows, 0.0f);
  std::fill_n(tile.b, m * n_rows, 0.0f);
  std::fill_n(tile.e, m * n_rows, 0.0f);
  std::fill_n(tile.B, n_rows, 0.0f);
  std::fill_n(tile.D, n_rows, 0.0f);
  float lo[n_rows], hi[n_rows];
  bounds(tile, lo, hi);
  ColumnChanges targets, rests;
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    targets.count = rests.count = 0;
    for (int64_t sub = begin; sub < end; sub += column_sub_block) {
      const int64_t sub_end = std::min(end, sub + column_sub_block), first_target = targets.count, first_rest = rests.count;
      start_columns(tile, sub, sub_end, lo, hi, targets, rests);
      for (const auto& [from, to] : {std::pair{begin, sub}, {sub_end, end}}) {
        targets.reach(tile.b, from, to, tile.S, tile.ld, first_target);
        rests.reach(tile.e, from, to, tile.S, tile.ld, first_rest);
      }
    }
    for (const auto& [from, to] : {std::pair{int64_t{0}, begin}, {end, m}}) {
      targets.reach(tile.b, from, to, tile.S, tile.ld);
      rests.reach(tile.e, from, to, tile.S, tile.ld);
    }
  }
  measure(tile);
}

void beacon_resume(BeaconTile& tile) {
  std::vector<float> rest(static_cast<size_t>(tile.m * n_rows));
  for (int64_t i = 0; i < tile.m * n_rows; ++i) rest[static_cast<size_t>(i)] = tile.w[i] - tile.a[i] * tile.unit[i % n_rows];
  multiply(tile, tile.w, tile.b);
  multiply(tile, rest.data(), tile.e);
  measure(tile);
}

bool beacon_sweep(BeaconTile& tile) {
  const int64_t m = tile.m;
  float lo[n_rows], hi[n_rows];
  bounds(tile, lo, hi);
  bool changed = false;
  ColumnChanges codes;
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    codes.count = 0;
    for (int64_t sub = begin; sub < end; sub += column_sub_block) {
      const int64_t sub_end = std::min(end, sub + column_sub_block), first = codes.count;
      sweep_columns(tile, sub, sub_end, lo, hi, codes);
      codes.reach(tile.e, begin, sub, tile.S, tile.ld, first);
      codes.reach(tile.e, sub_end, end, tile.S, tile.ld, first);
    }
    codes.reach(tile.e, 0, begin, tile.S, tile.ld);
    codes.reach(tile.e, end, m, tile.S, tile.ld);
    changed |= codes.count > 0;
  }
  measure(tile);
  if (tile.column_sums != nullptr && move_zero_points(tile)) {
    changed = true;
    measure(tile);
  }
  return changed;
}

}  // namespace bitwright
