// What solvers that go through the columns of 16 rows side by side have in common: arrays are [columns × 16], one row in each lane.
// S is symmetric; a change of column c reaches the statistics of all columns by row c of S. Legend of each method in its own file.
#pragma once
#include <cstdint>

namespace bitwright {

inline constexpr int64_t row_lanes = 16;
/// Columns whose changes reach the rest together; and those whose changes reach the others of these together.
inline constexpr int64_t column_block = 128, column_sub_block = 16;

/// One value of each row; compared, a mask that chooses by ?: in each lane.
using Rows = float __attribute__((vector_size(row_lanes * sizeof(float)), aligned(alignof(float)), may_alias));
inline __attribute__((always_inline)) Rows& rows_at(float* values) { return *reinterpret_cast<Rows*>(values); }
inline __attribute__((always_inline)) const Rows& rows_at(const float* values) { return *reinterpret_cast<const Rows*>(values); }

/// That of grid.h, of all lanes.
inline __attribute__((always_inline)) Rows round_half_even(const Rows& values) { return (values + 12582912.0f) - 12582912.0f; }

/// g[k] += Σ_c S[c][k] · deltas[c] for k in [begin, end) and c < count; rows of S are ld apart.
void add_columns(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, int64_t count, const float* deltas);
/// Σ_k x[k] · y[k] of every lane, in double.
void inner_products(const float* x, const float* y, int64_t m, double* sums);

}  // namespace bitwright
