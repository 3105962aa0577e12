// Beacon's steps on 16 rows of a cell: see beacon.h for the legend.
//
// α and β are double, b and g float. What a column changes reaches its block of columns at once and the rest of the cell with the block.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/vector-math.h"
#include "quantizers/beacon.h"
#include "quantizers/grid.h"
#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

constexpr int64_t n_rows = row_lanes;
/// A code changes when cos² grows by more than this part of itself: below it is the rounding of g.
constexpr double least_gain = 1e-7;

/// cos² with its sign, times ‖Xw‖²; no direction counts as the worst.
inline __attribute__((always_inline)) double merit(double alpha, double beta) { return beta > 1e-30 ? alpha * std::fabs(alpha) / beta : -1e300; }

/// The step δ of one coordinate for each row, α and β behind it. `from` is the value now, `lo` and `hi` the ends of its grid.
BITWRIGHT_VECTOR void choose_steps(double* alpha, double* beta, const float* from, const float* b, const float* g, float s, const float* lo, const float* hi, const float* nearest, float* delta) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const double A = alpha[r], B = beta[r], bt = b[r], gt = g[r], S = s, now = from[r], low = lo[r], high = hi[r];
    const double denominator = A * S - bt * gt, numerator = bt * B - A * gt;
    const double end = numerator > 0 ? high : low;
    const double best = denominator > 0 ? now + numerator / denominator : end;
    const double inside = best > low ? (best < high ? best : high) : low;
    const double below = std::floor(inside), above = std::ceil(inside);
    const double d1 = below - now, d2 = above - now;
    const double m0 = merit(A, B), m1 = merit(A + d1 * bt, B + 2 * d1 * gt + d1 * d1 * S), m2 = merit(A + d2 * bt, B + 2 * d2 * gt + d2 * d2 * S);
    const double d = m1 > m2 ? d1 : d2, m = m1 > m2 ? m1 : m2;
    const double step = B > 1e-30 ? (m > m0 + least_gain * std::fabs(m0) ? d : 0.0) : nearest[r] - now;
    delta[r] = static_cast<float>(step);
    alpha[r] = A + step * bt;
    beta[r] = B + 2 * step * gt + step * step * S;
  }
}

bool is_pinned(const BeaconTile& tile, int64_t t) { return tile.pinned != nullptr && tile.pinned[t] != 0; }

void bounds(const BeaconTile& tile, float* lo, float* hi) {
  for (int64_t r = 0; r < n_rows; ++r) {
    lo[r] = tile.qmin - tile.zero_point[r];
    hi[r] = tile.qmax - tile.zero_point[r];
  }
}

/// α and β from the codes, as the objective is told.
void measure(BeaconTile& tile) {
  inner_products(tile.a, tile.b, tile.m, tile.alpha);
  inner_products(tile.a, tile.g, tile.m, tile.beta);
}

/// The zero point as one more coordinate: all values of a row move by one and the same step.
bool move_zero_points(BeaconTile& tile) {
  float b[n_rows], g[n_rows], from[n_rows] = {}, lo[n_rows], hi[n_rows], delta[n_rows];
  double b_sums[n_rows] = {}, g_sums[n_rows] = {}, total = 0;
  for (int64_t k = 0; k < tile.m; ++k) {
    if (is_pinned(tile, k)) continue;
    total += static_cast<double>(tile.column_sums[k]);
    for (int64_t r = 0; r < n_rows; ++r) {
      b_sums[r] += static_cast<double>(tile.b[k * n_rows + r]);
      g_sums[r] += static_cast<double>(tile.g[k * n_rows + r]);
    }
  }
  for (int64_t r = 0; r < n_rows; ++r) {
    b[r] = static_cast<float>(b_sums[r]);
    g[r] = static_cast<float>(g_sums[r]);
    lo[r] = tile.zero_point[r] - tile.qmax;
    hi[r] = tile.zero_point[r] - tile.qmin;
  }
  choose_steps(tile.alpha, tile.beta, from, b, g, static_cast<float>(total), lo, hi, from, delta);
  bool moved = false;
  for (int64_t r = 0; r < n_rows; ++r) moved |= delta[r] != 0;
  if (!moved) return false;
  for (int64_t k = 0; k < tile.m; ++k)
    for (int64_t r = 0; r < n_rows; ++r) {
      if (!is_pinned(tile, k)) tile.a[k * n_rows + r] += delta[r];
      tile.g[k * n_rows + r] += delta[r] * tile.column_sums[k];
    }
  for (int64_t r = 0; r < n_rows; ++r) tile.zero_point[r] -= delta[r];
  return true;
}

}  // namespace

void beacon_start(BeaconTile& tile) {
  const int64_t m = tile.m;
  std::fill_n(tile.a, m * n_rows, 0.0f);
  std::fill_n(tile.b, m * n_rows, 0.0f);
  std::fill_n(tile.g, m * n_rows, 0.0f);
  std::fill_n(tile.alpha, n_rows, 0.0);
  std::fill_n(tile.beta, n_rows, 0.0);
  float lo[n_rows], hi[n_rows], nearest[n_rows], delta[n_rows];
  bounds(tile, lo, hi);
  ColumnChanges codes, weights;
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    codes.count = weights.count = 0;
    for (int64_t t = begin; t < end; ++t) {
      if (is_pinned(tile, t)) continue;
      const float *w = tile.w + t * n_rows, *g = tile.g + t * n_rows;
      // The target grows by w_t X_t, then the codes by a_t X_t.
      for (int64_t r = 0; r < n_rows; ++r) tile.alpha[r] += static_cast<double>(w[r]) * static_cast<double>(g[r]);
      if (weights.add(t, w)) add_columns(tile.b, begin, end, tile.S, tile.ld, &t, 1, w);
      for (int64_t r = 0; r < n_rows; ++r) nearest[r] = std::clamp(round_half_even(w[r] / tile.scale[r]), lo[r], hi[r]);
      choose_steps(tile.alpha, tile.beta, tile.a + t * n_rows, tile.b + t * n_rows, g, tile.S[t * tile.ld + t], lo, hi, nearest, delta);
      if (!codes.add(t, delta)) continue;
      for (int64_t r = 0; r < n_rows; ++r) tile.a[t * n_rows + r] = delta[r];
      add_columns(tile.g, begin, end, tile.S, tile.ld, &t, 1, delta);
    }
    for (const auto& [from, to] : {std::pair{int64_t{0}, begin}, {end, m}}) {
      add_columns(tile.b, from, to, tile.S, tile.ld, weights.columns, weights.count, weights.deltas);
      add_columns(tile.g, from, to, tile.S, tile.ld, codes.columns, codes.count, codes.deltas);
    }
  }
  measure(tile);
}

void beacon_resume(BeaconTile& tile) {
  const int64_t m = tile.m;
  std::fill_n(tile.b, m * n_rows, 0.0f);
  std::fill_n(tile.g, m * n_rows, 0.0f);
  int64_t columns[column_block];
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t count = std::min(m, begin + column_block) - begin;
    for (int64_t c = 0; c < count; ++c) columns[c] = begin + c;
    add_columns(tile.b, 0, m, tile.S, tile.ld, columns, count, tile.w + begin * n_rows);
    add_columns(tile.g, 0, m, tile.S, tile.ld, columns, count, tile.a + begin * n_rows);
  }
  measure(tile);
}

bool beacon_sweep(BeaconTile& tile) {
  const int64_t m = tile.m;
  float lo[n_rows], hi[n_rows], delta[n_rows];
  bounds(tile, lo, hi);
  bool changed = false;
  ColumnChanges codes;
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    codes.count = 0;
    for (int64_t t = begin; t < end; ++t) {
      if (is_pinned(tile, t)) continue;
      float* a = tile.a + t * n_rows;
      choose_steps(tile.alpha, tile.beta, a, tile.b + t * n_rows, tile.g + t * n_rows, tile.S[t * tile.ld + t], lo, hi, a, delta);
      if (!codes.add(t, delta)) continue;
      for (int64_t r = 0; r < n_rows; ++r) a[r] += delta[r];
      add_columns(tile.g, begin, end, tile.S, tile.ld, &t, 1, delta);
    }
    add_columns(tile.g, 0, begin, tile.S, tile.ld, codes.columns, codes.count, codes.deltas);
    add_columns(tile.g, end, m, tile.S, tile.ld, codes.columns, codes.count, codes.deltas);
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
