// Beacon's steps on 16 rows of a cell: see beacon.h for the legend.
//
// Decisions are float, sums over a cell double. What a column changes reaches its 16 neighbours at once, its block of 128 columns behind the 16, and the rest of
// the cell behind the block.
#include <algorithm>
#include <cmath>
#include <span>
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
  const Rows one = Rows{} + 1.0f, B = rows_at(tile.B), length = B > no_length ? B : one, inverse = one / length, away = rows_at(tile.D) * inverse;
  rows_at(angle.inverse) = inverse;
  rows_at(angle.away) = away;
  rows_at(angle.c) = one - away;
  rows_at(angle.limit) = B > no_length ? one : Rows{};
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

/// What a block of columns changes in one tile, and the ends of its grid.
struct TileBlock {
  explicit TileBlock(BeaconTile& of) : tile(of) {
    for (int64_t r = 0; r < n_rows; ++r) {
      lo[r] = tile.qmin - tile.zero_point[r];
      hi[r] = tile.qmax - tile.zero_point[r];
    }
  }
  BeaconTile& tile;
  float lo[n_rows], hi[n_rows];
  /// The start's: what the target and what is left grow by. A sweep's: what is left.
  ColumnChanges targets, rests;
  int64_t first_target = 0, first_rest = 0;
  Angle angle;
};

/// One column of the start: the target grows by w_t X_t, then the codes by a_t X_t.
inline __attribute__((always_inline)) void start_column(TileBlock& at, int64_t t, int64_t begin, int64_t end) {
  BeaconTile& tile = at.tile;
  float e[n_rows], nearest[n_rows], rest[n_rows];
  const float *const w = tile.w + t * n_rows, *const S = tile.S + t * tile.ld, *const b = tile.b + t * n_rows;
  float* const a = tile.a + t * n_rows;
  const Rows weight = rows_at(w), left = rows_at(tile.e + t * n_rows), lo = rows_at(at.lo), hi = rows_at(at.hi);
  const Rows code = round_half_even(weight / rows_at(tile.unit)), bounded = code > lo ? code : lo;
  rows_at(nearest) = bounded < hi ? bounded : hi;
  rows_at(tile.D) -= weight * (rows_at(b) - left);
  rows_at(e) = left + weight * S[t];
  add_column(tile.b, begin, end, S, w);
  take_step({a, b, e, at.lo, at.hi, nearest, S[t]}, tile, a);
  rows_at(rest) = weight - rows_at(a) * rows_at(tile.unit);
  add_column(tile.e, begin, end, S, rest);
  at.targets.add(t, w);
  at.rests.add(t, rest);
}

/// The start's columns [begin, end) of a sub-block.
BITWRIGHT_VECTOR void start_columns(std::span<TileBlock> blocks, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t)
    if (!is_pinned(blocks[0].tile, t))
      for (TileBlock& block : blocks) start_column(block, t, begin, end);
}

inline __attribute__((always_inline)) void sweep_column(TileBlock& at, const Coordinate& coordinate, int64_t t, int64_t begin, int64_t end) {
  BeaconTile& tile = at.tile;
  float step[n_rows], change[n_rows];
  take_step(coordinate, tile, step);
  find_angle(tile, at.angle);
  rows_at(change) = -rows_at(step) * rows_at(tile.unit);
  if (!at.rests.add(t, change)) return;
  rows_at(tile.a + t * n_rows) += rows_at(step);
  add_column(tile.e, begin, end, tile.S + t * tile.ld, change);
}

/// A sweep's columns [begin, end) of a sub-block.
BITWRIGHT_VECTOR void sweep_columns(std::span<TileBlock> blocks, int64_t begin, int64_t end) {
  const auto coordinate = [](const TileBlock& at, int64_t t) __attribute__((always_inline)) {
    float* const a = at.tile.a + t * n_rows;
    return Coordinate{a, at.tile.b + t * n_rows, at.tile.e + t * n_rows, at.lo, at.hi, a, at.tile.S[t * at.tile.ld + t]};
  };
  for (TileBlock& block : blocks) find_angle(block.tile, block.angle);
  for (int64_t t = begin; t < end; ++t) {
    if (is_pinned(blocks[0].tile, t)) continue;
    bool stays[beacon_tiles];
    for (size_t i = 0; i < blocks.size(); ++i) stays[i] = all_stay(coordinate(blocks[i], t), blocks[i].tile, blocks[i].angle);
    for (size_t i = 0; i < blocks.size(); ++i)
      if (!stays[i]) sweep_column(blocks[i], coordinate(blocks[i], t), t, begin, end);
  }
}

}  // namespace

void beacon_start(std::span<BeaconTile> tiles) {
  const int64_t m = tiles[0].m;
  std::vector<TileBlock> blocks;
  blocks.reserve(tiles.size());
  for (BeaconTile& tile : tiles) {
    for (float* values : {tile.a, tile.b, tile.e}) std::fill_n(values, m * n_rows, 0.0f);
    std::fill_n(tile.B, n_rows, 0.0f);
    std::fill_n(tile.D, n_rows, 0.0f);
    blocks.emplace_back(tile);
  }
  for (int64_t begin = 0; begin < m; begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    for (TileBlock& block : blocks) block.targets.count = block.rests.count = 0;
    for (int64_t sub = begin; sub < end; sub += column_sub_block) {
      const int64_t sub_end = std::min(end, sub + column_sub_block);
      for (TileBlock& block : blocks) {
        block.first_target = block.targets.count;
        block.first_rest = block.rests.count;
      }
      start_columns(blocks, sub, sub_end);
      for (TileBlock& block : blocks)
        for (const auto& [from, to] : {std::pair{begin, sub}, {sub_end, end}}) {
          block.targets.reach(block.tile.b, from, to, block.tile.S, block.tile.ld, block.first_target);
          block.rests.reach(block.tile.e, from, to, block.tile.S, block.tile.ld, block.first_rest);
        }
    }
    for (TileBlock& block : blocks)
      for (const auto& [from, to] : {std::pair{int64_t{0}, begin}, {end, m}}) {
        block.targets.reach(block.tile.b, from, to, block.tile.S, block.tile.ld);
        block.rests.reach(block.tile.e, from, to, block.tile.S, block.tile.ld);
      }
  }
  for (BeaconTile& tile : tiles) measure(tile);
}

void beacon_resume(BeaconTile& tile) {
  std::vector<float> rest(static_cast<size_t>(tile.m * n_rows));
  for (int64_t i = 0; i < tile.m * n_rows; ++i) rest[static_cast<size_t>(i)] = tile.w[i] - tile.a[i] * tile.unit[i % n_rows];
  multiply(tile, tile.w, tile.b);
  multiply(tile, rest.data(), tile.e);
  measure(tile);
}

void beacon_sweep(std::span<BeaconTile> tiles) {
  const int64_t m = tiles[0].m;
  std::vector<TileBlock> blocks;
  blocks.reserve(tiles.size());
  for (BeaconTile& tile : tiles)
    if (!tile.settled) blocks.emplace_back(tile).tile.settled = true;
  for (int64_t begin = 0; begin < m && !blocks.empty(); begin += column_block) {
    const int64_t end = std::min(m, begin + column_block);
    for (TileBlock& block : blocks) block.rests.count = 0;
    for (int64_t sub = begin; sub < end; sub += column_sub_block) {
      const int64_t sub_end = std::min(end, sub + column_sub_block);
      for (TileBlock& block : blocks) block.first_rest = block.rests.count;
      sweep_columns(blocks, sub, sub_end);
      for (TileBlock& block : blocks) {
        block.rests.reach(block.tile.e, begin, sub, block.tile.S, block.tile.ld, block.first_rest);
        block.rests.reach(block.tile.e, sub_end, end, block.tile.S, block.tile.ld, block.first_rest);
      }
    }
    for (TileBlock& block : blocks) {
      block.rests.reach(block.tile.e, 0, begin, block.tile.S, block.tile.ld);
      block.rests.reach(block.tile.e, end, m, block.tile.S, block.tile.ld);
      if (block.rests.count > 0) block.tile.settled = false;
    }
  }
  for (TileBlock& block : blocks) {
    measure(block.tile);
    if (block.tile.column_sums != nullptr && move_zero_points(block.tile)) {
      block.tile.settled = false;
      measure(block.tile);
    }
  }
}

}  // namespace bitwright
