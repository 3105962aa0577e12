// What the solvers of a layer have in common on a CUDA device. Weights stand transposed, Wt [columns × padded rows], so that a warp takes 32 rows of a column
// at once; padded rows are zero and go along.
#pragma once
#include "cuda/launch.cuh"
#include "quantizers/grid.h"

namespace bitwright::cuda {

/// Rows of a tile: one lane each.
inline constexpr int tile_rows = 32;
inline int64_t padded_rows(int64_t n_rows) { return (n_rows + tile_rows - 1) / tile_rows * tile_rows; }

/// Wt[j - first, row] ← weight[row, column of j] for the columns [first, end), 0 for dead columns and for padded rows. `permutation` and `dead` may be null.
void transpose_columns(Context& context, const TensorView& weight, int64_t first, int64_t end, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt);
/// All columns.
void transpose_weight(Context& context, const TensorView& weight, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt);
/// codes[row, first + k] ← Qt[k, row] for m columns of the rows that are there.
void store_codes(Context& context, const int8_t* Qt, int64_t m, int64_t padded, int8_t* codes, int64_t n_rows, int64_t n_columns, int64_t first);
/// What of diag(H) is negative or not finite is told.
void check_diagonal(Context& context, const float* H, int64_t n);

}  // namespace bitwright::cuda
