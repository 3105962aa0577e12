// HQQ on a CUDA device: see hqq.cc. One thread takes one cell, so that its sums have the processor's order.
#include "cuda/launch.cuh"
#include "quantizers/hqq-cell.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

__global__ void __launch_bounds__(block_threads) sum_cells(const HqqCell* cells, int64_t n, double* sums) {
  __shared__ double shared[block_threads / warp_threads];
  double own[3] = {};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) {
    own[0] += cells[i].after < cells[i].before;
    own[1] += cells[i].before;
    own[2] += cells[i].after;
  }
  for (int k = 0; k < 3; ++k) {
    const double sum = over_block(own[k], shared, Sum{});
    if (threadIdx.x == 0) sums[k] = sum;
    __syncthreads();
  }
}

template <class T>
void find_better_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  Cells cells;
  Grid grid;
  HqqSettings settings;
  (void)Cells::from(options, in[0].shape, cells);
  (void)grid_from(options, grid);
  (void)hqq_settings(options, settings);
  const int64_t n = count_of(cells.scale_shape()), n_groups = cells.n_groups, columns = cells.columns, size = cells.group_size;
  const Scratch<HqqCell> found_cells = context.scratch<HqqCell>(n > 0 ? n : 1);
  HqqCell* found = found_cells.data();
  const auto* weight = in[0].as<typename T::Stored>();
  const auto* scale = in[1].as<typename T::Stored>();
  const int8_t* start = in[2].as<int8_t>();
  auto* better = out[0].as<typename T::Stored>();
  FaultSlot* slot = context.fault([n_groups](uint32_t cell, uint32_t) { return "the error of row " + std::to_string(cell / n_groups) + " is no number: its weight is NaN or infinite"; });
  for_each(context, n, [=] __device__(int64_t i) {
    const auto* w = weight + i / n_groups * columns + i % n_groups * size;
    found[i] = hqq_cell<T>([=](int64_t k) { return T::load(w[k]); }, size, T::load(scale[i]), start[i], grid, settings);
    if (!isfinite(found[i].before)) report(slot, i, 0);
    better[i] = T::store(found[i].scale);
  });
  launch(context, 1, block_threads, 0, sum_cells, found, n, out[1].as<double>());
}

}  // namespace

void hqq_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  with_weight_type(in[0].dtype, [&](auto type) { find_better_scales<decltype(type)>(context, in, out, options); });
}

}  // namespace bitwright::cuda
