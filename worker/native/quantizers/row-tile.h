// What solvers that go through the columns of 16 rows side by side have in common: arrays are [columns × 16], one row in each lane.
// S is symmetric; a change of column c reaches the statistics of all columns by row c of S. Legend of each method in its own file.
#pragma once
#include <algorithm>
#include <cstdint>

namespace bitwright {

inline constexpr int64_t row_lanes = 16;
/// Columns whose changes reach the rest together.
inline constexpr int64_t column_block = 128;

/// g[k] += Σ_c S[columns[c]][k] · deltas[c] for k in [begin, end).
void add_columns(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, const int64_t* columns, int64_t count, const float* deltas);
/// Σ_k x[k] · y[k] of every lane, in double.
void inner_products(const float* x, const float* y, int64_t m, double* sums);

/// Changes of the columns of one block; columns in which no row changes cost nothing.
struct ColumnChanges {
  int64_t columns[column_block];
  float deltas[column_block * row_lanes];
  int64_t count = 0;

  /// False where nothing changes.
  bool add(int64_t column, const float* delta) {
    if (std::all_of(delta, delta + row_lanes, [](float value) { return value == 0; })) return false;
    columns[count] = column;
    std::copy_n(delta, row_lanes, deltas + count * row_lanes);
    ++count;
    return true;
  }
};

}  // namespace bitwright
