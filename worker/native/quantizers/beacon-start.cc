// Beacon's start on 16 rows of a cell: see beacon.h for the legend.
//
// Every column changes the codes of nearly all rows, so that the rows go side by side. What a column changes reaches its 16 neighbours at once, those behind
// them in its block of 128 when their turn comes, those before them behind the block, and so the rest of the cell: each sum stays in a register for many columns.
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

/// add_columns of one column for the few of a sub-block.
inline __attribute__((always_inline)) void add_column(float* g, int64_t begin, int64_t end, const float* s, const Rows& change) {
  if (end - begin == column_sub_block) {
    // All at once: so fewer instructions stand between this tile's decision and the other's.
#pragma GCC unroll 16
    for (int64_t k = 0; k < column_sub_block; ++k) rows_at(g + (begin + k) * n_rows) += s[begin + k] * change;
  } else
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
  /// What the target and what is left grow by.
  ColumnChanges targets, rests;
  /// Of each sub-block: the first of those behind it.
  int64_t next_target[column_block / column_sub_block], next_rest[column_block / column_sub_block];

  /// Those from the given ones on reach b and e in [begin, end).
  void reach(int64_t begin, int64_t end, int64_t first_target, int64_t first_rest) {
    targets.reach(tile.b, begin, end, tile.S, tile.ld, first_target);
    rests.reach(tile.e, begin, end, tile.S, tile.ld, first_rest);
  }
};

/// One column of the start: the target grows by w_t X_t, then the codes by a_t X_t.
inline __attribute__((always_inline)) void start_column(TileBlock& at, int64_t t, int64_t begin, int64_t end) {
  BeaconTile& tile = at.tile;
  float e[n_rows], nearest[n_rows], diagonal[n_rows];
  const float *const w = tile.w + t * n_rows, *const S = tile.S + t * tile.ld, *const b = tile.b + t * n_rows;
  float* const a = tile.a + t * n_rows;
  const Rows weight = rows_at(w), left = rows_at(tile.e + t * n_rows), lo = rows_at(at.lo), hi = rows_at(at.hi);
  const Rows code = round_half_even(weight / rows_at(tile.unit)), bounded = code > lo ? code : lo;
  rows_at(nearest) = bounded < hi ? bounded : hi;
  rows_at(tile.D) -= weight * (rows_at(b) - left);
  rows_at(e) = left + weight * S[t];
  add_column(tile.b, begin, end, S, weight);
  std::fill_n(diagonal, n_rows, S[t]);
  take_steps({a, b, e, at.lo, at.hi, nearest, diagonal}, tile, a);
  const Rows rest = weight - rows_at(a) * rows_at(tile.unit);
  add_column(tile.e, begin, end, S, rest);
  at.targets.push(t, weight);
  at.rests.push(t, rest);
}

/// The start's columns [begin, end) of a sub-block.
BITWRIGHT_VECTOR void start_columns(std::span<TileBlock> blocks, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t)
    if (!is_pinned(blocks[0].tile, t))
      for (TileBlock& block : blocks) start_column(block, t, begin, end);
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
    for (TileBlock& block : blocks) block.targets.count = block.rests.count = 0;
    int64_t sub = begin;
    for (size_t i = 0; sub < end; sub += column_sub_block, ++i) {
      const int64_t sub_end = std::min(end, sub + column_sub_block);
      for (TileBlock& block : blocks) block.reach(sub, sub_end, 0, 0);
      start_columns(blocks, sub, sub_end);
      for (TileBlock& block : blocks) {
        block.next_target[i] = block.targets.count;
        block.next_rest[i] = block.rests.count;
      }
    }
    sub = begin;
    for (size_t i = 0; sub < end; sub += column_sub_block, ++i)
      for (TileBlock& block : blocks) block.reach(sub, std::min(end, sub + column_sub_block), block.next_target[i], block.next_rest[i]);
    for (TileBlock& block : blocks)
      for (const auto& [from, to] : {std::pair{int64_t{0}, begin}, {end, m}}) block.reach(from, to, 0, 0);
  }
}

void beacon_resume(BeaconTile& tile) {
  std::vector<float> rest(static_cast<size_t>(tile.m * n_rows));
  for (int64_t i = 0; i < tile.m * n_rows; ++i) rest[static_cast<size_t>(i)] = tile.w[i] - tile.a[i] * tile.unit[i % n_rows];
  multiply(tile, tile.w, tile.b);
  multiply(tile, rest.data(), tile.e);
}

}  // namespace bitwright
