// AWQ's search for clipping on a CUDA device: see awq-clip.cc. A cell is a block; its sums are double, so that they differ from the processor's in the last bits of a single.
// Beside inputs and results: clipping takes 4 bytes for each cell, an error nothing, or 8 bytes for each row where the tensor is one cell.
#include "cuda/reductions.cuh"
#include "transforms/awq-clip.h"
#include "transforms/kernels.h"

namespace bitwright::cuda {
namespace {

/// errors[cell] of one row each: every thread takes columns j of d H and multiplies by d_j.
__global__ void __launch_bounds__(block_threads) find_cell_errors(AnyFloat W, AnyFloat What, const float* H, int64_t columns, int64_t n_groups, int64_t size, double* errors) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x / n_groups, group = blockIdx.x % n_groups, first = row * columns + group * size;
  const float* own = H + group * size * columns + group * size;
  double sum = 0;
  for (int64_t j = threadIdx.x; j < size; j += block_threads) {
    double product = 0;
    for (int64_t i = 0; i < size; ++i) product += static_cast<double>(W.value(first + i) - What.value(first + i)) * own[i * columns + j];
    sum += product * static_cast<double>(W.value(first + j) - What.value(first + j));
  }
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) errors[blockIdx.x] = sum;
}

template <class T>
void clip(Context& context, const Views& in, const Views& out, const Cells& cells) {
  const int64_t n = cells.rows * cells.n_groups, columns = cells.columns;
  if (n == 0 || columns == 0) return;
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const Scratch<float> found = context.scratch<float>(n);
  float* maxima = found.data();
  const auto* x = in[0].as<typename T::Stored>();
  auto* y = out[0].as<typename T::Stored>();
  const float* factors = in[1].as<float>();
  largest_magnitudes<T>(context, x, n, cells.group_size, per_tensor, maxima);
  const int64_t size = cells.group_size, n_groups = cells.n_groups;
  for_rows(context, cells.rows, columns, [=] __device__(int64_t row, int64_t column) {
    const int64_t cell = per_tensor ? 0 : row * n_groups + column / size;
    const float limit = rounded_to<T>(maxima[cell] * factors[cell]), value = T::load(x[row * columns + column]);
    y[row * columns + column] = T::store(value < -limit ? -limit : value > limit ? limit : value);
  });
}

}  // namespace

void cell_errors(Context& context, const Views& in, const Views& out, const Options& options) {
  Cells cells;
  (void)clip_cells_from(options, in[0].shape, cells);
  const int64_t n = cells.rows * cells.n_groups;
  if (n == 0) return;
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const Scratch<double> of_rows = context.scratch<double>(per_tensor ? n : 0);
  double* errors = per_tensor ? of_rows.data() : out[0].as<double>();
  launch(context, static_cast<unsigned>(n), block_threads, 0, find_cell_errors, AnyFloat(in[0]), AnyFloat(in[1]), in[2].as<float>(), cells.columns, cells.n_groups, cells.group_size, errors);
  if (!per_tensor) return;
  context.clear(out[0].data, out[0].bytes());
  merge_into(context, out[0].as<double>(), errors, n, 0.0, Sum{});
}

void clip_cells(Context& context, const Views& in, const Views& out, const Options& options) {
  Cells cells;
  (void)clip_cells_from(options, in[0].shape, cells);
  with_weight_type(in[0].dtype, [&](auto type) { clip<decltype(type)>(context, in, out, cells); });
}

}  // namespace bitwright::cuda
