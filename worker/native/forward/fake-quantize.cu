// Quantize-dequantize of activations on a CUDA device: see fake-quantize.cc. Ranges by one block per token, or by one per stretch of the whole tensor and one over those;
// groups are short: some lanes of a warp find the range of one and round it.
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

template <class Codes>
__device__ inline float requantized(float x, const Grid& grid, float scale, float zero_point) {
  return isnan(x) ? x : (code_of<F32Type, Codes>(x, scale, zero_point, grid.qmin(), grid.qmax()) - zero_point) * scale;
}

/// The scale of a range, for groups that have one of their own.
struct OwnScale {
  Grid grid;
  __device__ CellScale<F32Type> operator()(const Range& range) const { return scale_of_range<F32Type>(grid, range.mn, range.mx); }
};
/// NVFP4's, under the global scale G.
struct LocalScale {
  const float* G;
  __device__ CellScale<F32Type> operator()(const Range& range) const { return {tensor_group_scale(*G, std::max(-range.mn, range.mx) / e2m1_max) / *G, 0}; }
};

/// A group of `length` columns is taken by `n_lanes` lanes, a power of two.
template <class Codes, class ScaleOf>
__global__ void __launch_bounds__(block_threads) quantize_groups(const float* x, float* y, int64_t n_groups, int length, int n_lanes, Grid grid, ScaleOf scale_of) {
  const int64_t group = (static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x) / n_lanes, begin = group * length;
  const int lane = static_cast<int>(threadIdx.x) % n_lanes, n = group < n_groups ? length : 0;
  Range range{0, 0};
  for (int i = lane; i < n; i += n_lanes) range = {x[begin + i] < range.mn ? x[begin + i] : range.mn, x[begin + i] > range.mx ? x[begin + i] : range.mx};
  for (int distance = n_lanes / 2; distance > 0; distance /= 2)
    range = Wider{}(range, {__shfl_xor_sync(0xffffffffu, range.mn, distance), __shfl_xor_sync(0xffffffffu, range.mx, distance)});
  const CellScale<F32Type> cell = scale_of(range);
  for (int i = lane; i < n; i += n_lanes) y[begin + i] = requantized<Codes>(x[begin + i], grid, cell.scale, cell.zero_point);
}

template <class ScaleOf>
void over_groups(Context& context, const Views& in, const Views& out, const Options& options, const Grid& grid, const ScaleOf& scale_of) {
  const int64_t length = options.integer("group_size"), n_groups = in[0].count() / length;
  if (n_groups == 0) return;
  int n_lanes = 1;
  while (n_lanes < warp_threads && 2 * n_lanes <= length) n_lanes *= 2;
  const int64_t per_block = block_threads / n_lanes;
  with_codes(grid, [&](auto codes) {
    launch(context, static_cast<unsigned>((n_groups + per_block - 1) / per_block), block_threads, 0, quantize_groups<decltype(codes), ScaleOf>, in[0].as<float>(), out[0].as<float>(), n_groups, static_cast<int>(length), n_lanes, grid, scale_of);
  });
}

/// A range for every token, or one for all.
template <class Codes>
void over_tokens(Context& context, const Views& in, const Views& out, bool per_token, const Grid& grid) {
  const int64_t T = in[0].extent(0), I = in[0].extent(1);
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
    y[t * I + column] = requantized<Codes>(x[t * I + column], grid, cell.scale, cell.zero_point);
  });
}

template <class Codes>
void quantize_static(Context& context, const Views& in, const Views& out, const Grid& grid) {
  const AnyFloat scale(in[1]);
  const int8_t* zero_point = in[2].present ? in[2].as<int8_t>() : nullptr;
  const float* x = in[0].as<float>();
  float* y = out[0].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { y[i] = requantized<Codes>(x[i], grid, scale.value(0), zero_point != nullptr ? static_cast<float>(zero_point[0]) : 0.0f); });
}

}  // namespace

void fake_quantize_dynamic(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  if (in[0].count() == 0) return;
  if (options.text("strategy") == "group") return over_groups(context, in, out, options, grid, OwnScale{grid});
  with_codes(grid, [&](auto codes) { over_tokens<decltype(codes)>(context, in, out, options.text("strategy") == "token", grid); });
}

void fake_quantize_local(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  over_groups(context, in, out, options, grid, LocalScale{in[1].as<float>()});
}

void fake_quantize_static(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  with_codes(grid, [&](auto codes) { quantize_static<decltype(codes)>(context, in, out, grid); });
}

}  // namespace bitwright::cuda
