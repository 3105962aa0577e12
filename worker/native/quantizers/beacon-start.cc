// Beacon's start on 16 rows of a cell: see beacon.h for the legend.
//
// Every column changes the codes of nearly all rows, so that the rows go side by side. What a column changes reaches those behind it in its block of 128 when their
// turn comes, those before it behind its 16 neighbours or the block, and the rest of the cell behind the block: each sum stays in a register for many columns.
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/vector-math.h"
#include "quantizers/beacon-lanes.h"
#include "quantizers/beacon.h"
#include "quantizers/grid.h"
#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

constexpr int64_t n_rows = row_lanes;

bool is_pinned(const BeaconTile& tile, int64_t t) { return tile.pinned != nullptr && tile.pinned[t] != 0; }

/// y = S x over the columns of the cell.
void multiply(const BeaconTile& tile, const float* x, float* y) {
  std::fill_n(y, tile.m * n_rows, 0.0f);
  for (int64_t begin = 0; begin < tile.m; begin += column_block)
    add_columns(y, 0, tile.m, tile.S + begin * tile.ld, tile.ld, std::min(tile.m - begin, column_block), x + begin * n_rows);
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
  /// Its first column, and what the target and what is left grow by with each of its columns so far: those of column begin + i stand at 16 i.
  int64_t begin = 0, count = 0;
  float targets[column_block * n_rows], rests[column_block * n_rows];

  void push(const Rows& target, const Rows& rest) {
    rows_at(targets + count * n_rows) = target;
    rows_at(rests + count * n_rows) = rest;
    ++count;
  }
  /// What those from the i-th on changed reaches b and e in [from, to).
  void reach(int64_t from, int64_t to, int64_t i) {
    const float* const S = tile.S + (begin + i) * tile.ld;
    add_columns(tile.b, from, to, S, tile.ld, count - i, targets + i * n_rows);
    add_columns(tile.e, from, to, S, tile.ld, count - i, rests + i * n_rows);
  }
};

/// b and e of a column grow by what `n` columns changed: S of these with it, targets and rests.
inline __attribute__((always_inline)) void add_changes(const float* S, int64_t n, const float* targets, const float* rests, Rows& b, Rows& e) {
  Rows b_sum = b, e_sum = e;
  for (int64_t i = 0; i < n; ++i) {
    b_sum += S[i] * rows_at(targets + i * n_rows);
    e_sum += S[i] * rows_at(rests + i * n_rows);
  }
  b = b_sum;
  e = e_sum;
}

/// One column of the start: the target grows by w_t X_t, then the codes by a_t X_t. Those of its sub-block before it are the last of `block`, and have not reached it.
inline __attribute__((always_inline)) void start_column(TileBlock& block, int64_t t, int64_t n_before) {
  BeaconTile& tile = block.tile;
  const float* const S = tile.S + t * tile.ld;
  Rows &b = rows_at(tile.b + t * n_rows), &e = rows_at(tile.e + t * n_rows);
  const int64_t first = (block.count - n_before) * n_rows;
  add_changes(S + t - n_before, n_before, block.targets + first, block.rests + first, b, e);
  if (is_pinned(tile, t)) return block.push(Rows{}, Rows{});
  float target[n_rows], left[n_rows], nearest[n_rows], diagonal[n_rows];
  float* const a = tile.a + t * n_rows;
  const Rows weight = rows_at(tile.w + t * n_rows), lo = rows_at(block.lo), hi = rows_at(block.hi);
  const Rows code = round_half_even(weight / rows_at(tile.unit)), bounded = code > lo ? code : lo;
  rows_at(nearest) = bounded < hi ? bounded : hi;
  rows_at(tile.D) -= weight * (b - e);
  rows_at(target) = b + weight * S[t];
  rows_at(left) = e + weight * S[t];
  std::fill_n(diagonal, n_rows, S[t]);
  take_steps({a, target, left, block.lo, block.hi, nearest, diagonal}, tile, a);
  block.push(weight, weight - rows_at(a) * rows_at(tile.unit));
}

/// The start's columns [begin, end) of a sub-block, to which those before it have come. A column takes what those before it changed when its turn comes, with its sums
/// in registers, and what itself and those behind it did when all are through: so little stands between one tile's decision and the other's.
BITWRIGHT_VECTOR void start_columns(std::span<TileBlock> blocks, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t)
    for (TileBlock& block : blocks) start_column(block, t, t - begin);
  for (TileBlock& block : blocks)
    for (int64_t t = begin; t < end; ++t) {
      const int64_t n = end - t, first = (block.count - n) * n_rows;
      add_changes(block.tile.S + t * block.tile.ld + t, n, block.targets + first, block.rests + first, rows_at(block.tile.b + t * n_rows), rows_at(block.tile.e + t * n_rows));
    }
}

}  // namespace

void choose_any(const BeaconCoordinates& at, BeaconTile& tile, float* steps) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const BeaconStep step = any_step({at.from[r], at.b[r], at.e[r], at.lo[r], at.hi[r], at.nearest[r], at.S[r]}, tile.B[r], tile.D[r], tile.unit[r]);
    steps[r] = step.code;
    tile.B[r] = step.B;
    tile.D[r] = step.D;
  }
}

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
    for (TileBlock& block : blocks) {
      block.begin = begin;
      block.count = 0;
    }
    for (int64_t sub = begin; sub < end; sub += column_sub_block) {
      const int64_t sub_end = std::min(end, sub + column_sub_block);
      for (TileBlock& block : blocks) block.reach(sub, sub_end, 0);
      start_columns(blocks, sub, sub_end);
    }
    for (TileBlock& block : blocks) {
      for (int64_t sub = begin; sub + column_sub_block < end; sub += column_sub_block) block.reach(sub, sub + column_sub_block, sub + column_sub_block - begin);
      for (const auto& [from, to] : {std::pair{int64_t{0}, begin}, {end, m}}) block.reach(from, to, 0);
    }
  }
}

void beacon_resume(BeaconTile& tile) {
  std::vector<float> rest(static_cast<size_t>(tile.m * n_rows));
  for (int64_t i = 0; i < tile.m * n_rows; ++i) rest[static_cast<size_t>(i)] = tile.w[i] - tile.a[i] * tile.unit[i % n_rows];
  multiply(tile, tile.w, tile.b);
  multiply(tile, rest.data(), tile.e);
}

}  // namespace bitwright
