// The mean magnitude of a cell on a CUDA device: see absmean.cc. One block per cell, sums in double; a whole tensor is taken row by row.
#include "cuda/launch.cuh"
#include "quantizers/grid.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

/// Sum of |w| of one group of one row.
template <class T>
__global__ void __launch_bounds__(block_threads) sum_magnitudes(const typename T::Stored* weight, const int32_t* permutation, int64_t columns, int64_t group_size, int64_t n_groups, double* sums, FaultSlot* slot) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x / n_groups, first = blockIdx.x % n_groups * group_size;
  double own = 0;
  for (int64_t c = first + threadIdx.x; c < first + group_size; c += blockDim.x) {
    const int64_t column = permutation != nullptr ? inside(permutation[c], columns) : c;
    own += fabs(static_cast<double>(T::load(weight[row * columns + column])));
  }
  const double sum = over_block(own, shared, Sum{});
  if (threadIdx.x != 0) return;
  if (!isfinite(sum)) report(slot, static_cast<int64_t>(blockIdx.x), 0);
  sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block_threads) sum_rows(double* sums, int64_t n) {
  __shared__ double shared[block_threads / warp_threads];
  double own = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) own += sums[i];
  own = over_block(own, shared, Sum{});
  if (threadIdx.x == 0) sums[0] = own;
}

/// sums: of the groups of all rows, or the whole in the first.
template <class T>
void scales_of_sums(Context& context, const Views& out, const Grid& grid, const double* sums, double count) {
  auto* scale = out[0].as<typename T::Stored>();
  int8_t* zero_point = out[1].as<int8_t>();
  for_each(context, out[0].count(), [=] __device__(int64_t i) {
    const float mean = rounded_to<T>(static_cast<float>(sums[i] / count));
    scale[i] = T::store(mean == 0 ? least_scale<T>(grid) : mean);
    zero_point[i] = 0;
  });
}

}  // namespace

void absmean_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  Cells cells;
  (void)grid_from(options, grid);
  (void)Cells::from(options, in[0].shape, cells);
  check_permutation(context, in[1], cells.columns);
  const int64_t n_parts = cells.rows * cells.n_groups, n_groups = cells.n_groups;
  if (n_parts == 0) return;
  const Scratch<double> part_sums = context.scratch<double>(n_parts);
  double* sums = part_sums.data();
  FaultSlot* slot = context.fault([n_groups](uint32_t part, uint32_t) { return "the weight has a value that is NaN or infinite in row " + std::to_string(part / n_groups); });
  with_weight_type(in[0].dtype, [&](auto type) {
    using T = decltype(type);
    launch(context, static_cast<unsigned>(n_parts), block_threads, 0, sum_magnitudes<T>, in[0].as<typename T::Stored>(), ints_or_null(in[1]), cells.columns, cells.group_size, n_groups, sums, slot);
    if (cells.strategy == Cells::Strategy::tensor) launch(context, 1, block_threads, 0, sum_rows, sums, n_parts);
    scales_of_sums<T>(context, out, grid, sums, static_cast<double>(std::max<int64_t>(1, cells.cell_rows * cells.group_size)));
  });
}

}  // namespace bitwright::cuda
