// Scales and zero points of a weight on a CUDA device: see weight-scales.cc.
#include <limits>

#include "quantizers/kernels.h"
#include "quantizers/range-search.cuh"

namespace bitwright::cuda {
namespace {

template <class T, class Codes>
void find_scales(Context& context, const Views& in, const float* importance, const Views& out, const Options& options, const Grid& grid) {
  Cells cells;
  ShrinkSearch shrink;
  (void)Cells::from(options, in[0].shape, cells);
  (void)ShrinkSearch::from(options, shrink);
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const int64_t n_cells = count_of(cells.scale_shape()), part_rows = per_tensor ? 1 : cells.cell_rows, n_groups = cells.n_groups;
  if (n_cells == 0) return;
  const Scratch<Extremes> kept_ranges = context.scratch<Extremes>(n_cells);
  Extremes* kept = kept_ranges.data();
  find_ranges<T, Codes>(context, in[0], ints_or_null(in[1]), importance, cells, grid, shrink, kept);
  FaultSlot* slot = context.fault([per_tensor, part_rows, n_groups](uint32_t cell, uint32_t) {
    const std::string place = part_rows == 1 ? " in row " : " in the block that begins with row ";
    return "the weight has a value that is NaN or infinite" + (per_tensor ? std::string() : place + std::to_string(cell / n_groups * part_rows));
  });
  auto* scale = out[0].as<typename T::Stored>();
  int8_t* zero_point = out[1].as<int8_t>();
  FaultSlot* no_scale = context.fault([](uint32_t, uint32_t bits) { return "a weight of " + std::to_string(float_of(bits)) + " has no finite scale"; });
  for_each(context, n_cells, [=] __device__(int64_t i) {
    if (kept[i].difference != 0) report(slot, i, 0);
    const CellScale<T> cell = scale_of_range<T>(grid, kept[i].mn, kept[i].mx);
    if (kept[i].difference == 0 && !isfinite(cell.scale)) report(no_scale, i, bits_of(std::max(-kept[i].mn, kept[i].mx)));
    scale[i] = T::store(cell.scale);
    zero_point[i] = cell.zero_point;
  });
}

void find_any_scales(Context& context, const Views& in, const float* importance, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  check_permutation(context, in[1], in[0].extent(1));
  with_weight_type(in[0].dtype, [&](auto type) { with_codes(grid, [&](auto codes) { find_scales<decltype(type), decltype(codes)>(context, in, importance, out, options, grid); }); });
}

/// importance over its mean, by one block, so that the sum has one order.
__global__ void __launch_bounds__(block_threads) divide_by_mean(const float* given, int64_t n, float* importance, FaultSlot* slot) {
  __shared__ double shared[block_threads / warp_threads];
  __shared__ float mean;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    if (!(given[i] >= 0 && isfinite(given[i]))) report(slot, i, bits_of(given[i]));
    sum += given[i];
  }
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) mean = static_cast<float>(sum / static_cast<double>(n)) + 1.17549435e-38f;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) importance[i] = given[i] / mean;
}

}  // namespace

void weight_scales(Context& context, const Views& in, const Views& out, const Options& options) { find_any_scales(context, in, nullptr, out, options); }

void search_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t n = in[2].present ? in[2].count() : 0;
  if (n == 0) return find_any_scales(context, in, nullptr, out, options);
  const Scratch<float> weights = context.scratch<float>(n);
  FaultSlot* slot = context.fault([](uint32_t column, uint32_t bits) { return "the importance of column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
  launch(context, 1, block_threads, 0, divide_by_mean, in[2].as<float>(), n, weights.data(), slot);
  find_any_scales(context, in, weights.data(), out, options);
}

}  // namespace bitwright::cuda
