// Quantize-dequantize of activations on a CUDA device: see fake-quantize.cc. Ranges by one block per token, or by one per stretch of the whole tensor and one over those.
#include "cuda/launch.cuh"
#include "forward/kernels.h"
#include "quantizers/grid.h"

namespace bitwright::cuda {
namespace {

struct Range {
  float mn, mx;
};
struct Wider {
  __device__ Range operator()(const Range& a, const Range& b) const { return {b.mn < a.mn ? b.mn : a.mn, b.mx > a.mx ? b.mx : a.mx}; }
};

/// ranges[block] of stretch [block · length, …) of n values; a range begins at 0 and a NaN is not in it.
__global__ void __launch_bounds__(block_threads) find_ranges(const float* x, int64_t n, int64_t length, Range* ranges) {
  __shared__ Range shared[block_threads / warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * length, end = begin + length < n ? begin + length : n;
  Range range{0, 0};
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) range = {x[i] < range.mn ? x[i] : range.mn, x[i] > range.mx ? x[i] : range.mx};
  range = over_block(range, shared, Wider{});
  if (threadIdx.x == 0) ranges[blockIdx.x] = range;
}

__global__ void __launch_bounds__(block_threads) merge_ranges(Range* ranges, int64_t n) {
  __shared__ Range shared[block_threads / warp_threads];
  Range range{0, 0};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) range = Wider{}(range, ranges[i]);
  range = over_block(range, shared, Wider{});
  if (threadIdx.x == 0) ranges[0] = range;
}

__device__ inline float requantized(float x, const Grid& grid, float scale, float zero_point) {
  return isnan(x) ? x : (code_of<F32Type>(x, scale, zero_point, grid.qmin(), grid.qmax()) - zero_point) * scale;
}

}  // namespace

void fake_quantize_dynamic(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  const int64_t T = in[0].extent(0), I = in[0].extent(1);
  if (T * I == 0) return;
  const bool per_token = options.text("strategy") == "token";
  const float* x = in[0].as<float>();
  float* y = out[0].as<float>();
  constexpr int64_t stretch = 1 << 16;
  const int64_t length = per_token ? I : stretch, n_ranges = per_token ? T : (T * I + stretch - 1) / stretch;
  const Scratch<Range> ranges = context.scratch<Range>(n_ranges);
  const Range* found = ranges.data();
  launch(context, static_cast<unsigned>(n_ranges), block_threads, 0, find_ranges, x, T * I, length, ranges.data());
  if (!per_token) launch(context, 1, block_threads, 0, merge_ranges, ranges.data(), n_ranges);
  for_rows(context, T, I, [=] __device__(int64_t t, int64_t column) {
    const Range range = found[per_token ? t : 0];
    const CellScale<F32Type> cell = scale_of_range<F32Type>(grid, range.mn, range.mx);
    y[t * I + column] = requantized(x[t * I + column], grid, cell.scale, cell.zero_point);
  });
}

void fake_quantize_static(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  const AnyFloat scale(in[1]);
  const int8_t* zero_point = in[2].present ? in[2].as<int8_t>() : nullptr;
  const float* x = in[0].as<float>();
  float* y = out[0].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { y[i] = requantized(x[i], grid, scale.value(0), zero_point != nullptr ? static_cast<float>(zero_point[0]) : 0.0f); });
}

}  // namespace bitwright::cuda
