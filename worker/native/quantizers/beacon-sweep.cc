// Beacon's sweeps over 16 rows of a cell: see beacon.h for the legend.
//
// In a sweep few codes of a row change, and other ones than those of the row beside it. So every row goes from one of its changes to the next at its own pace, with
// its columns side by side: a look at 32 of them says which can gain. The decisions of all rows are made at once. What a code changes reaches its block of 128 columns
// at once, and the rest of the cell behind the block, where S is large, for all rows together.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/vector-math.h"
#include "quantizers/beacon-lanes.h"
#include "quantizers/beacon.h"
#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

constexpr int64_t n_rows = row_lanes;
/// Columns that one look takes.
constexpr int64_t n_columns = beacon_look;

/// What a look at a row takes from its angle: with c = 1 - D / B and left_t = c e_t + (D / B) b_t, the next code towards what is left gains where
/// 2 c |left_t| + u b_t² / B > u c² S_tt. All 0 for a row without direction, whose codes stay, and NaN for one whose angle is wide: there every column is decided.
struct Angles {
  float c[n_rows], away[n_rows], pull[n_rows], lift[n_rows], weight[n_rows];
};

inline __attribute__((always_inline)) void find_angles(const BeaconTile& tile, Angles& angles) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const float B = tile.B[r], inverse = 1.0f / (B > no_length ? B : 1.0f), away = tile.D[r] * inverse, narrow = 1.0f - away;
    const float c = B > no_length ? (narrow > 0 ? narrow : std::numeric_limits<float>::quiet_NaN()) : 0.0f;
    angles.c[r] = c;
    angles.away[r] = B > no_length ? away : 0.0f;
    angles.pull[r] = 2 * c;
    angles.lift[r] = B > no_length ? inverse * tile.unit[r] : 0.0f;
    angles.weight[r] = c * c * tile.unit[r];
  }
}

/// What a row changed in a block of columns.
struct Changes {
  int64_t columns[column_block];
  float deltas[column_block];
  int64_t count = 0;
};

/// Rows, as many as `count`.
struct RowList {
  int64_t rows[n_rows], count = 0;
};

/// The rows of a tile on their way through the columns before `end`: where each looks next, and which of these columns are not behind it; which have a column
/// that can gain, and which column.
struct Walk {
  BeaconTile& tile;
  int64_t end = 0;
  float lo[n_rows] = {}, hi[n_rows] = {};
  Angles angles;
  int64_t at[n_rows];
  uint32_t ahead[n_rows];
  RowList going;
  int64_t columns[n_rows];
  /// The code, b, e and S_tt of that column; all 0 for a row that is through, and so is its step.
  float from[n_rows], b[n_rows], e[n_rows], S[n_rows];
  float steps[n_rows];
  Changes changes[n_rows];

  explicit Walk(BeaconTile& of) : tile(of) {}
};

void start_walk(Walk& walk, int64_t begin, int64_t end) {
  const BeaconTile& tile = walk.tile;
  walk.end = end;
  for (int64_t r = 0; r < n_rows; ++r) {
    walk.lo[r] = tile.qmin - tile.zero_point[r];
    walk.hi[r] = tile.qmax - tile.zero_point[r];
    walk.at[r] = begin;
    walk.ahead[r] = ~uint32_t{0};
    walk.going.rows[r] = r;
    walk.changes[r].count = 0;
  }
  walk.going.count = tile.n_rows;
  find_angles(tile, walk.angles);
}

/// Bit i: in column at + i of row r the next code up or down is better; no other can be, since the cosine has one top along a coordinate. A NaN is looked at.
inline __attribute__((always_inline)) uint32_t gaining(const Walk& walk, int64_t r) {
  const BeaconTile& tile = walk.tile;
  const int64_t first = walk.at[r], begin = r * tile.stride + first;
  const float *__restrict bs = tile.b + begin, *__restrict es = tile.e + begin, *__restrict from = tile.a + begin, *__restrict S = tile.diagonal + first;
  const float c = walk.angles.c[r], away = walk.angles.away[r], pull = walk.angles.pull[r], lift = walk.angles.lift[r], weight = walk.angles.weight[r], lo = walk.lo[r], hi = walk.hi[r];
  alignas(64) int32_t gains[n_columns];
  for (int64_t i = 0; i < n_columns; ++i) {
    const float b = bs[i], left = c * es[i] + away * b, end = left > 0 ? hi : lo;
    const float gain = (from[i] == end ? 0.0f : pull * std::fabs(left)) + (lift * b * b - weight * S[i]);
    gains[i] = gain <= 0 ? 0 : -1;
  }
  return (mask_bits(gains) | mask_bits(gains + n_lanes) << n_lanes) & tile.open[first / n_columns];
}

/// Each of the rows to its next column that can gain; those that have none are left out. All look before any is asked what it saw: a processor that guesses
/// wrong there has the other rows' looks still going on.
inline __attribute__((always_inline)) void find_columns(Walk& walk) {
  RowList looking = walk.going;
  RowList& found = walk.going;
  found.count = 0;
  while (looking.count > 0) {
    uint32_t seen[n_rows];
    for (int64_t i = 0; i < looking.count; ++i) seen[i] = gaining(walk, looking.rows[i]) & walk.ahead[looking.rows[i]];
    const int64_t n_looking = looking.count;
    looking.count = 0;
    for (int64_t i = 0; i < n_looking; ++i) {
      const int64_t r = looking.rows[i];
      const bool gains = seen[i] != 0;
      walk.columns[r] = walk.at[r] + std::countr_zero(seen[i]);
      // The bits above the lowest of what was seen; all where that was nothing.
      walk.ahead[r] = ~(seen[i] ^ (seen[i] - 1)) | (gains ? 0 : ~uint32_t{0});
      walk.at[r] += gains ? 0 : n_columns;
      found.rows[found.count] = r;
      found.count += gains ? 1 : 0;
      looking.rows[looking.count] = r;
      looking.count += !gains && walk.at[r] < walk.end ? 1 : 0;
    }
  }
}

/// e[k] += Σ_c S[columns[c]][k] · deltas[c] for k in [begin, end).
inline __attribute__((always_inline)) void reach(const BeaconTile& tile, int64_t r, const int64_t* columns, const float* deltas, int64_t count, int64_t begin, int64_t end) {
  float* const e = tile.e + r * tile.stride;
  int64_t k = begin;
  for (; k + row_lanes <= end; k += row_lanes) {
    Rows sum = rows_at(e + k);
    for (int64_t c = 0; c < count; ++c) sum += rows_at(tile.S + columns[c] * tile.ld + k) * deltas[c];
    rows_at(e + k) = sum;
  }
  for (; k < end; ++k)
    for (int64_t c = 0; c < count; ++c) e[k] += tile.S[columns[c] * tile.ld + k] * deltas[c];
}

/// The same for one change.
inline __attribute__((always_inline)) void reach_block(const BeaconTile& tile, int64_t r, int64_t t, float delta, int64_t begin, int64_t end) {
  float* const __restrict e = tile.e + r * tile.stride;
  const float* const __restrict S = tile.S + t * tile.ld;
  int64_t k = begin;
  for (; k + row_lanes <= end; k += row_lanes) rows_at(e + k) += rows_at(S + k) * delta;
  for (; k < end; ++k) e[k] += S[k] * delta;
}

/// A function of its own: in the midst of another the compiler takes row after row.
BITWRIGHT_VECTOR void decide(const BeaconCoordinates& at, BeaconTile& tile, Angles& angles, float* steps) {
  take_steps(at, tile, steps);
  find_angles(tile, angles);
}

inline __attribute__((always_inline)) void gather(Walk& walk) {
  const BeaconTile& tile = walk.tile;
  for (float* values : {walk.from, walk.b, walk.e, walk.S}) rows_at(values) = Rows{};
  for (int64_t i = 0; i < walk.going.count; ++i) {
    const int64_t r = walk.going.rows[i], k = r * tile.stride + walk.columns[r];
    walk.from[r] = tile.a[k];
    walk.b[r] = tile.b[k];
    walk.e[r] = tile.e[k];
    walk.S[r] = tile.diagonal[walk.columns[r]];
  }
}

/// In whole vectors: a look that follows reads it as such, and would wait for a single code that was just written.
inline __attribute__((always_inline)) void add_to_code(float* a, int64_t t, float step) {
  float* const codes = a + t / row_lanes * row_lanes;
  const float place = static_cast<float>(t % row_lanes);
  constexpr Rows places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  rows_at(codes) += places == place ? Rows{} + step : Rows{};
}

inline __attribute__((always_inline)) void change_codes(Walk& walk, int64_t begin) {
  const BeaconTile& tile = walk.tile;
  for (int64_t i = 0; i < walk.going.count; ++i) {
    const int64_t r = walk.going.rows[i], t = walk.columns[r];
    if (walk.steps[r] == 0) continue;
    add_to_code(tile.a + r * tile.stride, t, walk.steps[r]);
    Changes& of = walk.changes[r];
    const float change = -walk.steps[r] * tile.unit[r];
    of.columns[of.count] = t;
    of.deltas[of.count++] = change;
    reach_block(tile, r, t, change, begin, walk.end);
  }
}

/// The columns [begin, end) of all rows.
BITWRIGHT_VECTOR void sweep_block(Walk& walk, int64_t begin, int64_t end) {
  start_walk(walk, begin, end);
  for (find_columns(walk); walk.going.count > 0; find_columns(walk)) {
    gather(walk);
    decide({walk.from, walk.b, walk.e, walk.lo, walk.hi, walk.from, walk.S}, walk.tile, walk.angles, walk.steps);
    change_codes(walk, begin);
  }
}

BITWRIGHT_VECTOR void reach_others(const BeaconTile& tile, int64_t r, const Changes& changes, int64_t begin, int64_t end) {
  reach(tile, r, changes.columns, changes.deltas, changes.count, 0, begin);
  reach(tile, r, changes.columns, changes.deltas, changes.count, end, tile.m);
}

/// The zero points as one more coordinate: all values of a row move by one and the same step; the rows that do are marked.
void move_zero_points(BeaconTile& tile, bool* changed) {
  float b[n_rows] = {}, e[n_rows] = {}, from[n_rows] = {}, lo[n_rows], hi[n_rows], S[n_rows], steps[n_rows];
  const auto moves = [&](int64_t k) { return tile.pinned == nullptr || tile.pinned[k] == 0; };
  double total = 0;
  for (int64_t k = 0; k < tile.m; ++k)
    if (moves(k)) total += static_cast<double>(tile.column_sums[k]);
  for (int64_t r = 0; r < n_rows; ++r) {
    double b_sum = 0, e_sum = 0;
    for (int64_t k = 0; k < tile.m; ++k) {
      if (!moves(k)) continue;
      b_sum += static_cast<double>(tile.b[r * tile.stride + k]);
      e_sum += static_cast<double>(tile.e[r * tile.stride + k]);
    }
    b[r] = static_cast<float>(b_sum);
    e[r] = static_cast<float>(e_sum);
    lo[r] = tile.zero_point[r] - tile.qmax;
    hi[r] = tile.zero_point[r] - tile.qmin;
    S[r] = static_cast<float>(total);
  }
  Angles angles;
  decide({from, b, e, lo, hi, from, S}, tile, angles, steps);
  for (int64_t r = 0; r < n_rows; ++r) {
    if (steps[r] == 0) continue;
    changed[r] = true;
    float *const a = tile.a + r * tile.stride, *const rest = tile.e + r * tile.stride;
    for (int64_t k = 0; k < tile.m; ++k) {
      if (moves(k)) a[k] += steps[r];
      rest[k] -= steps[r] * tile.unit[r] * tile.column_sums[k];
    }
    tile.zero_point[r] -= steps[r];
    beacon_measure(tile, r);
  }
}

}  // namespace

void beacon_sweep(BeaconTile& tile) {
  if (tile.settled) return;
  Walk walk(tile);
  bool changed[n_rows] = {};
  for (int64_t begin = 0; begin < tile.m; begin += column_block) {
    const int64_t end = std::min(tile.m, begin + column_block);
    sweep_block(walk, begin, end);
    for (int64_t r = 0; r < n_rows; ++r) {
      if (walk.changes[r].count == 0) continue;
      changed[r] = true;
      reach_others(tile, r, walk.changes[r], begin, end);
    }
  }
  for (int64_t r = 0; r < n_rows; ++r)
    if (changed[r]) beacon_measure(tile, r);
  if (tile.column_sums != nullptr) move_zero_points(tile, changed);
  tile.settled = std::none_of(changed, changed + n_rows, [](bool one) { return one; });
}

}  // namespace bitwright
