// Reductions over the rows of a matrix, one result per column: a block takes 32 columns and a stretch of rows, a second launch merges the stretches in order.
#pragma once
#include "cuda/launch.cuh"

namespace bitwright::cuda {

inline constexpr int column_block = 32, row_lanes = 8;

template <class Value, class Load, class Merge>
__global__ void __launch_bounds__(column_block* row_lanes) reduce_rows(int64_t rows, int64_t columns, int64_t stretch, Value identity, Load load, Merge merge, Value* partial) {
  __shared__ Value shared[row_lanes][column_block];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * column_block + threadIdx.x;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * stretch, end = begin + stretch < rows ? begin + stretch : rows;
  Value value = identity;
  if (column < columns)
    for (int64_t row = begin + threadIdx.y; row < end; row += row_lanes) value = merge(value, load(row, column));
  shared[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int lane = 1; lane < row_lanes; ++lane) value = merge(value, shared[lane][threadIdx.x]);
  partial[static_cast<int64_t>(blockIdx.y) * columns + column] = value;
}

/// store(column, merged value of load(row, column) over all rows).
template <class Value, class Load, class Merge, class Store>
void for_columns(Context& context, int64_t rows, int64_t columns, Value identity, const Load& load, const Merge& merge, const Store& store) {
  if (columns <= 0) return;
  constexpr int64_t stretch = 512;
  const int64_t n_stretches = rows <= stretch ? 1 : rows / stretch < 1024 ? (rows + stretch - 1) / stretch : 1024;
  const int64_t length = (rows + n_stretches - 1) / n_stretches;
  const Scratch<Value> partials = context.scratch<Value>(n_stretches * columns);
  Value* partial = partials.data();
  const dim3 grid(static_cast<unsigned>((columns + column_block - 1) / column_block), static_cast<unsigned>(n_stretches));
  launch(context, grid, dim3(column_block, row_lanes), 0, reduce_rows<Value, Load, Merge>, rows, columns, length, identity, load, merge, partial);
  for_each(context, columns, [=] __device__(int64_t column) {
    Value value = partial[column];
    for (int64_t i = 1; i < n_stretches; ++i) value = merge(value, partial[i * columns + column]);
    store(column, value);
  });
}

}  // namespace bitwright::cuda
