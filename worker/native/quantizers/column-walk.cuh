// The walk through the columns of a layer that solvers without a factor share: a statistic P [columns × padded rows] tells each column's code, and each code changes
// the statistic of all columns to come by a row of a Gram matrix.
//
// A launch walks one block of at most 128 columns: a block of threads takes 32 rows through it, their P in shared memory. One warp, a row per lane, decides 16 columns with their updates in registers; then
// all warps bring what was decided to the rest of the tile. What is outside of the block is updated by the caller with one matrix product in F32. Rows are
// independent: nothing depends on how many run at once.
//
// A Method says what is decided:
//   n_panels        Gram matrices: P_k += Σ_i step.change[i] · panel_i[t, k]
//   n_staged        values of a column and row that a decision reads beside P, brought to shared memory before: float stage(int i, Place) const
//   Row             what a row keeps in registers on its way, row(int64_t row) const, leave(int64_t row, const Row&) const
//   skips(column)   columns that are passed over in all rows
//   step(Row&, Place, bool skipped, float p, const float* staged, const float* diagonals) → Step
#pragma once
#include "quantizers/solver.cuh"

namespace bitwright::cuda {

inline constexpr int walk_columns = 128, walk_sub_block = 16, walk_warps = 8;

struct Walk {
  /// P of all columns.
  const float* state;
  /// Column that is solved as the j-th; or null.
  const int32_t* order;
  /// Rows of the Gram matrices for the columns of the block, from the first column of the block on, in solving order.
  const float* panels[2];
  int64_t ld, padded, n_columns, begin;
  int count;
};

struct Place {
  int64_t column, row;
  /// Position in the block of columns.
  int k;
};

template <int n_panels>
struct Step {
  float change[n_panels];
};

template <class Method>
__global__ void __launch_bounds__(32 * walk_warps) walk_block(Walk walk, Method method) {
  constexpr int stride = tile_rows + 1, n_panels = Method::n_panels, n_staged = Method::n_staged;
  __shared__ float tile[walk_columns * stride];
  __shared__ float panel[n_panels][walk_sub_block][walk_columns];
  __shared__ float staged[n_staged][walk_sub_block][tile_rows], changes[n_panels][walk_sub_block][tile_rows];
  __shared__ int64_t columns[walk_columns];
  __shared__ bool skipped[walk_columns];
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y), thread = warp * 32 + lane, count = walk.count;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * tile_rows + lane;
  for (int k = thread; k < count; k += 32 * walk_warps) {
    columns[k] = walk.order != nullptr ? inside(walk.order[walk.begin + k], walk.n_columns) : walk.begin + k;
    skipped[k] = method.skips(columns[k]);
  }
  __syncthreads();
  for (int k = warp; k < count; k += walk_warps) tile[k * stride + lane] = walk.state[columns[k] * walk.padded + row];
  typename Method::Row kept{};
  if (warp == 0) kept = method.row(row);

  for (int sub = 0; sub < count; sub += walk_sub_block) {
    const int n_sub = count - sub < walk_sub_block ? count - sub : walk_sub_block;
    for (int i = thread; i < n_sub * walk_columns; i += 32 * walk_warps) {
      const int s = i / walk_columns, k = i % walk_columns;
      if (k >= sub && k < count)
#pragma unroll
        for (int g = 0; g < n_panels; ++g) panel[g][s][k] = walk.panels[g][(sub + s) * walk.ld + k];
    }
    for (int s = warp; s < n_sub; s += walk_warps)
#pragma unroll
      for (int i = 0; i < n_staged; ++i) staged[i][s][lane] = method.stage(i, Place{columns[sub + s], row, sub + s});
    __syncthreads();
    if (warp == 0) {
      float p[walk_sub_block];
#pragma unroll
      for (int s = 0; s < walk_sub_block; ++s) p[s] = s < n_sub ? tile[(sub + s) * stride + lane] : 0.0f;
#pragma unroll
      for (int s = 0; s < walk_sub_block; ++s) {
        if (s >= n_sub) break;
        float values[n_staged], diagonals[n_panels];
#pragma unroll
        for (int i = 0; i < n_staged; ++i) values[i] = staged[i][s][lane];
#pragma unroll
        for (int g = 0; g < n_panels; ++g) diagonals[g] = panel[g][s][sub + s];
        const Step<n_panels> step = method.step(kept, Place{columns[sub + s], row, sub + s}, skipped[sub + s], p[s], values, diagonals);
#pragma unroll
        for (int g = 0; g < n_panels; ++g) {
          changes[g][s][lane] = step.change[g];
#pragma unroll
          for (int t = s + 1; t < walk_sub_block; ++t)
            if (t < n_sub) p[t] = fmaf(step.change[g], panel[g][s][sub + t], p[t]);
        }
      }
    }
    __syncthreads();
    for (int k = sub + walk_sub_block + warp; k < count; k += walk_warps) {
      float value = tile[k * stride + lane];
#pragma unroll
      for (int s = 0; s < walk_sub_block; ++s)
#pragma unroll
        for (int g = 0; g < n_panels; ++g)
          if (s < n_sub) value = fmaf(changes[g][s][lane], panel[g][s][k], value);
      tile[k * stride + lane] = value;
    }
    __syncthreads();
  }
  if (warp == 0) method.leave(row, kept);
}

template <class Method>
void walk_columns_of(Context& context, const Walk& walk, const Method& method) {
  launch(context, static_cast<unsigned>(walk.padded / tile_rows), dim3(32, walk_warps), 0, walk_block<Method>, walk, method);
}

}  // namespace bitwright::cuda
