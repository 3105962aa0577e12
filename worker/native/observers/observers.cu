// Statistics that accumulate over calibration batches, on a CUDA device: see observers.cc.
//
// The Hessian is summed on tensor cores where it is large: with x = high + middle in BF16 (core/split-bf16.h, rounded),
//   S = ½ highᵀ high + highᵀ middle,   S + Sᵀ = highᵀ high + highᵀ middle + middleᵀ high = xᵀ x + Δ
// in two products that add in F32, and the result is symmetric to the bit. |Δ_ij| ≤ 2^-15 · Σ_t |x_ti x_tj| = 3.1e-5 · Σ: what is dropped are middleᵀ middle
// (2^-16) and the rest of x beside middle (twice 2^-17). On normal values it is below 1e-5 · Σ, and the diagonal is 2e-6 too small (test/native,
// "products of rounded parts"). Small Hessians are computed in F32. Beside H and x: S, 4 I² bytes, and the parts of at most 4096 rows, 4 T · I.
#include "cuda/columns.cuh"
#include "cuda/operations.h"
#include "observers/kernels.h"
#include "observers/split-parts.cuh"
#include "quantizers/grid.h"

namespace bitwright::cuda {
namespace {

constexpr int transpose_tile = 32, transpose_rows = 8;

/// H ← decay · H + weight · (S + Sᵀ) for both triangles; a block takes one tile and its mirror image.
__global__ void __launch_bounds__(transpose_tile* transpose_rows) add_symmetric(float* H, const float* S, int64_t n, float decay, float weight) {
  __shared__ float mirrored[transpose_tile][transpose_tile + 1];
  const int64_t row = static_cast<int64_t>(blockIdx.y) * transpose_tile, column = static_cast<int64_t>(blockIdx.x) * transpose_tile;
  for (int i = static_cast<int>(threadIdx.y); i < transpose_tile; i += transpose_rows)
    if (column + i < n && row + threadIdx.x < n) mirrored[i][threadIdx.x] = S[(column + i) * n + row + threadIdx.x];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.y); i < transpose_tile; i += transpose_rows) {
    if (row + i >= n || column + threadIdx.x >= n) continue;
    const int64_t at = (row + i) * n + column + threadIdx.x;
    const float sum = weight * (S[at] + mirrored[threadIdx.x][i]);
    H[at] = decay == 0 ? sum : decay * H[at] + sum;
  }
}

void hessian_accumulate(Context& context, const Views& in, const Views&, const Options& options) {
  const int64_t T = in[1].extent(0), I = in[1].extent(1);
  if (I == 0) return;
  const float* x = in[1].as<float>();
  const Scratch<float> sums = context.scratch<float>(I * I);
  float* S = sums.data();
  if (sums_by_parts(context, T, I)) {
    SplitInput parts(context, x, T, I);
    for_split_rows(T, [&](int64_t begin, int64_t rows) {
      parts.take(begin, rows);
      context.gemm(DType::BF16, true, false, I, I, rows, 1, parts.high(), I, parts.middle(), I, begin > 0 ? 1 : 0, S, I);
      context.gemm(DType::BF16, true, false, I, I, rows, 0.5, parts.high(), I, parts.high(), I, 1, S, I);
    });
  } else {
    context.gemm(DType::F32, true, false, I, I, T, 0.5, x, I, x, I, 0, S, I);
  }
  const unsigned tiles = static_cast<unsigned>((I + transpose_tile - 1) / transpose_tile);
  launch(context, dim3(tiles, tiles), dim3(transpose_tile, transpose_rows), 0, add_symmetric, in[0].as<float>(), S, I, static_cast<float>(options.number("decay", 1)), static_cast<float>(options.number("weight", 1)));
}

void hessian_diagonal(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t I = in[0].extent(1);
  const float* H = in[0].as<float>();
  float* diagonal = out[0].as<float>();
  for_each(context, I, [=] __device__(int64_t i) { diagonal[i] = H[i * I + i]; });
}

struct Range {
  float mn, mx;
};
/// A NaN compares false and would vanish from a range: the maximum takes it and keeps it, so that it is seen.
struct Wider {
  __device__ Range operator()(const Range& a, const Range& b) const { return {b.mn < a.mn ? b.mn : a.mn, b.mx > a.mx || b.mx != b.mx ? b.mx : a.mx}; }
};

void column_range_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t T = in[1].extent(0), I = in[1].extent(1);
  const float* x = in[1].as<float>();
  float *mn = in[0].as<float>(), *mx = mn + I;
  for_columns(
      context, T, I, Range{INFINITY, -INFINITY}, [=] __device__(int64_t row, int64_t column) { return Range{x[row * I + column], x[row * I + column]}; }, Wider{},
      [=] __device__(int64_t column, Range found) {
        const Range range = Wider{}(Range{mn[column], mx[column]}, found);
        mn[column] = range.mn;
        mx[column] = range.mx;
      });
}

__global__ void __launch_bounds__(block_threads) find_ranges(const float* x, int64_t n, int64_t length, Range* ranges) {
  __shared__ Range shared[block_threads / warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * length, end = begin + length < n ? begin + length : n;
  Range range{INFINITY, -INFINITY};
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) range = Wider{}(range, Range{x[i], x[i]});
  range = over_block(range, shared, Wider{});
  if (threadIdx.x == 0) ranges[blockIdx.x] = range;
}

__global__ void __launch_bounds__(block_threads) extend_range(const Range* ranges, int64_t n, float* range) {
  __shared__ Range shared[block_threads / warp_threads];
  Range own{INFINITY, -INFINITY};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) own = Wider{}(own, ranges[i]);
  own = over_block(own, shared, Wider{});
  if (threadIdx.x != 0) return;
  own = Wider{}(Range{range[0], range[1]}, own);
  range[0] = own.mn;
  range[1] = own.mx;
}

void range_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t n = in[1].count();
  if (n == 0) return;
  constexpr int64_t stretch = 1 << 16;
  const int64_t n_ranges = (n + stretch - 1) / stretch;
  const Scratch<Range> ranges = context.scratch<Range>(n_ranges);
  launch(context, static_cast<unsigned>(n_ranges), block_threads, 0, find_ranges, in[1].as<float>(), n, stretch, ranges.data());
  launch(context, 1, block_threads, 0, extend_range, ranges.data(), n_ranges, in[0].as<float>());
}

void weighted_accumulate(Context& context, const Views& in, const Views&, const Options& options) {
  float* sum = in[0].as<float>();
  const float* x = in[1].as<float>();
  const float decay = static_cast<float>(options.number("decay", 1)), weight = static_cast<float>(options.number("weight", 1));
  for_each(context, in[0].count(), [=] __device__(int64_t i) { sum[i] = decay * sum[i] + weight * x[i]; });
}

template <class T>
void scale_activations(Context& context, const Views& in, const Views& out, const Grid& grid) {
  const float* range = in[0].as<float>();
  auto* scale = out[0].as<typename T::Stored>();
  int8_t* zero_point = out[1].as<int8_t>();
  FaultSlot* slot = context.fault([](uint32_t mn, uint32_t mx) { return "the calibrated range is " + std::to_string(float_of(mn)) + " to " + std::to_string(float_of(mx)); });
  for_each(context, 1, [=] __device__(int64_t) {
    const float mn = range[0], mx = range[1];
    if (!isfinite(mn) || !isfinite(mx)) report(slot, bits_of(mn), bits_of(mx));
    const CellScale<T> cell = scale_of_range<T>(grid, rounded_to<T>(mn), rounded_to<T>(mx));
    scale[0] = T::store(cell.scale);
    zero_point[0] = cell.zero_point;
  });
}

void activation_scale(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  with_weight_type(out[0].dtype, [&](auto type) { scale_activations<decltype(type)>(context, in, out, grid); });
}

}  // namespace

KernelList observer_kernels() {
  return {{"hessian_accumulate", hessian_accumulate}, {"hessian_diagonal", hessian_diagonal}, {"column_range_accumulate", column_range_accumulate}, {"range_accumulate", range_accumulate}, {"weighted_accumulate", weighted_accumulate}, {"activation_scale", activation_scale}, {"histogram_accumulate", histogram_accumulate}, {"column_moments_accumulate", column_moments_accumulate}, {"cross_hessian_accumulate", cross_hessian_accumulate}, {"fisher_accumulate", fisher_accumulate}};
}

}  // namespace bitwright::cuda
