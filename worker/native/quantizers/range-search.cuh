// The range of every cell of a matrix on a CUDA device: see range-search.h. One block per cell; the shrink search is one launch per step, and a word on the
// device says when `patience` steps in a row have improved no cell, so that nothing waits for the host. A cell of a whole tensor is taken row by row.
// Beside inputs and results: 24 bytes for each cell, 36 where ranges are searched; of a whole tensor 20 for each row.
#pragma once
#include "cuda/launch.cuh"
#include "quantizers/range-search.h"

namespace bitwright::cuda {
namespace {

struct Extremes {
  float mn, mx, difference;  // difference: 0 while every value was finite, NaN afterwards
};
struct Wider {
  __device__ Extremes operator()(const Extremes& a, const Extremes& b) const { return {b.mn < a.mn ? b.mn : a.mn, b.mx > a.mx ? b.mx : a.mx, a.difference + b.difference}; }
};
__device__ constexpr Extremes nothing{INFINITY, -INFINITY, 0};

/// The search as it goes: steps without an improvement, whether this step had one, whether it is over.
struct Progress {
  int n_idle, has_improved, is_over;
};

/// A part is what one block reads: a cell, or one row where the cell is the whole tensor.
template <class T>
struct Parts {
  const typename T::Stored* weight;
  const int32_t* permutation;
  int64_t rows, columns, part_rows, group_size, n_groups;

  /// Calls fn(weight, column) for those of this thread. Parts at the lower and right edge may be smaller.
  template <class Fn>
  __device__ void over_own(int64_t part, const Fn& fn) const {
    const int64_t first_row = part / n_groups * part_rows, first_column = part % n_groups * group_size;
    const uint32_t height = static_cast<uint32_t>(first_row + part_rows < rows ? part_rows : rows - first_row);
    const uint32_t width = static_cast<uint32_t>(first_column + group_size < columns ? group_size : columns - first_column);
    for (uint32_t i = threadIdx.x; i < height * width; i += blockDim.x) {
      const uint32_t row = height == 1 ? 0 : i / width;
      const int64_t column = first_column + i - row * width;
      const int64_t stored = permutation != nullptr ? inside(permutation[column], columns) : column;
      fn(T::load(weight[(first_row + row) * columns + stored]), stored);
    }
  }
};

template <class T>
__global__ void __launch_bounds__(block_threads) find_extremes(Parts<T> parts, Extremes* extremes) {
  __shared__ Extremes shared[block_threads / warp_threads];
  Extremes own = nothing;
  parts.over_own(blockIdx.x, [&](float x, int64_t) { own = {x < own.mn ? x : own.mn, x > own.mx ? x : own.mx, own.difference + (x - x)}; });
  own = over_block(own, shared, Wider{});
  if (threadIdx.x == 0) extremes[blockIdx.x] = own;
}

__global__ void __launch_bounds__(block_threads) merge_extremes(Extremes* extremes, int64_t n) {
  __shared__ Extremes shared[block_threads / warp_threads];
  Extremes own = nothing;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) own = Wider{}(own, extremes[i]);
  own = over_block(own, shared, Wider{});
  if (threadIdx.x == 0) extremes[0] = own;
}

/// What a weight adds to the error of its cell, as llm-compressor rounds it.
template <class T, class Codes>
__device__ double error_of(float x, const CellScale<T>& cell, const Grid& grid, float exponent) {
  const float z = cell.zero_point, q = code_of<T, Codes>(x, cell.scale, z, grid.qmin(), grid.qmax());
  const float back = rounded_to<T>(rounded_to<T>(q - z) * cell.scale);
  return rounded_to<T>(powf(fabsf(rounded_to<T>(back - x)), exponent));
}

/// The same as imatrix has it: in float32, PyTorch's products for two exponents, before it is weighed.
template <class T, class Codes>
__device__ float plain_error_of(float x, const CellScale<T>& cell, const Grid& grid, float exponent) {
  const float z = cell.zero_point, q = code_of<T, Codes>(x, cell.scale, z, grid.qmin(), grid.qmax());
  const float difference = fabsf(rounded_to<T>(rounded_to<T>(q - z) * cell.scale) - x);
  return exponent == 3 ? difference * difference * difference : exponent == 2 ? difference * difference : powf(difference, exponent);
}

/// How errors are summed: as imatrix has it or as mse; with importance of the columns, or without.
struct Measure {
  bool is_imatrix;
  float exponent;
  const float* importance;
};

/// errors[part] with the range of its cell times p.
template <class T, class Codes>
__global__ void __launch_bounds__(block_threads) find_errors(Parts<T> parts, const Extremes* full, bool per_tensor, Grid grid, float p, Measure measure, const Progress* progress, double* errors) {
  __shared__ double shared[block_threads / warp_threads];
  if (progress->is_over) return;
  const Extremes range = full[per_tensor ? 0 : blockIdx.x];
  const CellScale<T> cell = scale_of_range<T>(grid, rounded_to<T>(range.mn * p), rounded_to<T>(range.mx * p));
  double sum = 0;
  parts.over_own(blockIdx.x, [&](float x, int64_t column) {
    if (!measure.is_imatrix) sum += error_of<T, Codes>(x, cell, grid, measure.exponent);
    else sum += plain_error_of<T, Codes>(x, cell, grid, measure.exponent) * (measure.importance == nullptr ? 1.0f : measure.importance[column]);
  });
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) errors[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block_threads) merge_errors(double* errors, int64_t n) {
  __shared__ double shared[block_threads / warp_threads];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += errors[i];
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) errors[0] = sum;
}

/// Keeps the better range of every cell.
template <class T>
void keep_better(Context& context, int64_t n_cells, const double* errors, const Extremes* full, float p, bool is_imatrix, float* best, Extremes* kept, Progress* progress) {
  for_each(context, n_cells, [=] __device__(int64_t i) {
    if (progress->is_over) return;
    const float sum = static_cast<float>(errors[i]), error = is_imatrix ? sum : rounded_to<T>(sum);
    if (!(error < best[i])) return;
    best[i] = error;
    kept[i].mn = rounded_to<T>(full[i].mn * p);
    kept[i].mx = rounded_to<T>(full[i].mx * p);
    raise_flag(&progress->has_improved);
  });
}

/// The ranges of all cells in `kept`, room for each of them; of a cell with a NaN or an infinity `difference` is NaN.
template <class T, class Codes>
void find_ranges(Context& context, const TensorView& matrix, const int32_t* permutation, const float* importance, const Cells& cells, const Grid& grid, const ShrinkSearch& shrink, Extremes* kept) {
  // The search weighs the scale that a cell would have without a second level, as llm-compressor does.
  Grid searched = grid;
  if (grid.scale == Grid::Scale::largest) searched.scale = Grid::Scale::plain;
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const int64_t n_cells = count_of(cells.scale_shape()), part_rows = per_tensor ? 1 : cells.cell_rows, n_parts = per_tensor ? cells.rows : n_cells, n_groups = cells.n_groups;
  if (n_cells == 0) return;
  const Parts<T> parts{matrix.as<typename T::Stored>(), permutation, cells.rows, cells.columns, part_rows, cells.group_size, n_groups};
  const int64_t part_size = part_rows * cells.group_size;
  const int threads = part_size > 256 ? block_threads : part_size > 64 ? 64 : warp_threads;
  const Scratch<Extremes> full_ranges = context.scratch<Extremes>(std::max(n_parts, n_cells) + 1);
  Extremes* full = full_ranges.data();
  if (n_parts > 0) launch(context, static_cast<unsigned>(n_parts), threads, 0, find_extremes<T>, parts, full);
  if (per_tensor) launch(context, 1, block_threads, 0, merge_extremes, full, n_parts);
  const float expand = shrink.kind == ShrinkSearch::Kind::none ? 1.0f : static_cast<float>(shrink.expand);
  for_each(context, n_cells, [=] __device__(int64_t i) {
    full[i].mn = rounded_to<T>(full[i].mn * expand);
    full[i].mx = rounded_to<T>(full[i].mx * expand);
    kept[i] = full[i];
  });

  const int64_t n_steps = shrink.n_steps();
  if (n_steps > 0 && n_parts > 0) {
    const bool is_imatrix = shrink.kind == ShrinkSearch::Kind::imatrix;
    // What never ends the search is more steps than there are.
    const int patience = is_imatrix && shrink.patience <= 0 ? static_cast<int>(n_steps) + 1 : static_cast<int>(std::min<int64_t>(shrink.patience, n_steps + 1));
    // PyTorch rounds the exponent to the dtype too, where the error is in that dtype.
    const float norm = static_cast<float>(shrink.norm);
    const Measure measure{is_imatrix, is_imatrix ? norm : rounded_to<T>(norm), importance};
    const Scratch<double> part_errors = context.scratch<double>(n_parts);
    const Scratch<float> best_errors = context.scratch<float>(n_cells);
    const Scratch<Progress> search = context.scratch<Progress>(1);
    double* errors = part_errors.data();
    float* best = best_errors.data();
    Progress* progress = search.data();
    for_each(context, n_cells, [=] __device__(int64_t i) {
      best[i] = INFINITY;
      if (i == 0) *progress = {0, 0, patience <= 0};
    });
    for (int64_t step = 0; step < n_steps; ++step) {
      context.step();
      const float p = static_cast<float>(1.0 - static_cast<double>(step) / shrink.grid);
      launch(context, static_cast<unsigned>(n_parts), threads, 0, find_errors<T, Codes>, parts, full, per_tensor, searched, p, measure, progress, errors);
      if (per_tensor) launch(context, 1, block_threads, 0, merge_errors, errors, n_parts);
      keep_better<T>(context, n_cells, errors, full, p, is_imatrix, best, kept, progress);
      for_each(context, 1, [=] __device__(int64_t) {
        progress->n_idle = progress->has_improved ? 0 : progress->n_idle + 1;
        progress->has_improved = 0;
        if (progress->n_idle >= patience) progress->is_over = 1;
      });
    }
  }
}

}  // namespace
}  // namespace bitwright::cuda
