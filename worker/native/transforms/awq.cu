// AWQ's search for scales on a CUDA device: see awq.cc. Sums of columns by stretches of rows, the error by chunks, both in an order that the shape alone
// decides; every sum is double, so that it differs from the processor's in the last bits alone.
// Beside inputs and results: 8 bytes for each column and 512 rows of what is summed, and 4 for each cell of a weight; 8 for each 16384 values of an error.
#include "cuda/columns.cuh"
#include "cuda/reductions.cuh"
#include "quantizers/grid.h"
#include "transforms/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr float smallest_cell = 1e-6f;
constexpr double smallest_weight = 1e-4, smallest_scale = 1e-4;
constexpr int64_t error_chunk = 1 << 14;

template <class T>
void sum_weights(Context& context, const Views& in, const Cells& cells) {
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const int64_t rows = cells.rows, columns = cells.columns, n_groups = cells.n_groups, n_cells = rows * n_groups;
  if (n_cells == 0 || columns == 0) return;
  const Scratch<float> found = context.scratch<float>(n_cells);
  const float* maxima = found.data();
  const auto* weight = in[1].as<typename T::Stored>();
  double* sums = in[0].as<double>();
  largest_magnitudes<T>(context, weight, n_cells, cells.group_size, per_tensor, found.data());
  const uint32_t group_size = static_cast<uint32_t>(cells.group_size);
  for_columns(
      context, rows, columns, 0.0,
      [=] __device__(int64_t row, int64_t column) {
        const float most = maxima[per_tensor ? 0 : row * n_groups + static_cast<uint32_t>(column) / group_size];
        return static_cast<double>(rounded_to<T>(fabsf(T::load(weight[row * columns + column])) / rounded_to<T>(most + smallest_cell)));
      },
      Sum{}, [=] __device__(int64_t column, double found) { sums[column] += found; });
}

template <class T>
void divide(Context& context, const Views& in, const Views& out) {
  const int64_t I = in[0].extent(1);
  const float* s = in[1].as<float>();
  const auto* x = in[0].as<typename T::Stored>();
  auto* y = out[0].as<typename T::Stored>();
  for_rows(context, in[0].extent(0), I, [=] __device__(int64_t row, int64_t column) { y[row * I + column] = T::store(T::load(x[row * I + column]) / s[column]); });
}

struct Extremes {
  double least, most;
};
/// A NaN compares false and is passed over.
struct Wider {
  __device__ Extremes operator()(const Extremes& a, const Extremes& b) const { return {b.least < a.least ? b.least : a.least, b.most > a.most ? b.most : a.most}; }
};

__global__ void __launch_bounds__(block_threads) find_extremes(const double* s, int64_t n, Extremes* extremes) {
  __shared__ Extremes shared[block_threads / warp_threads];
  Extremes own{INFINITY, 0};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) own = Wider{}(own, Extremes{s[i], s[i]});
  own = over_block(own, shared, Wider{});
  if (threadIdx.x == 0) *extremes = own;
}

/// partials[chunk] = Σ (a − b)² over a chunk.
__global__ void __launch_bounds__(block_threads) find_errors(const float* a, const float* b, int64_t n, double* partials) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * error_chunk, end = begin + error_chunk < n ? begin + error_chunk : n;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

}  // namespace

void column_abs_sum_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t T = in[1].extent(0), I = in[1].extent(1);
  double* sums = in[0].as<double>();
  const float* x = in[1].as<float>();
  for_columns(
      context, T, I, 0.0, [=] __device__(int64_t row, int64_t column) { return static_cast<double>(fabsf(x[row * I + column])); }, Sum{},
      [=] __device__(int64_t column, double found) { sums[column] += found; });
}

void awq_weight_sum_accumulate(Context& context, const Views& in, const Views&, const Options& options) {
  Cells cells;
  (void)Cells::from(options, in[1].shape, cells);
  with_weight_type(in[1].dtype, [&](auto type) { sum_weights<decltype(type)>(context, in, cells); });
}

void awq_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t I = in[0].count();
  if (I == 0) return;
  const double ratio = options.number("ratio"), n_tokens = options.number("n_tokens"), n_rows = options.number("n_rows");
  const double *x_sum = in[0].as<double>(), *w_sum = in[1].present ? in[1].as<double>() : nullptr;
  const Scratch<double> values = context.scratch<double>(I);
  const Scratch<Extremes> found = context.scratch<Extremes>(1);
  double* s = values.data();
  const Extremes* extremes = found.data();
  float* scales = out[0].as<float>();
  FaultSlot* slot = context.fault([](uint32_t channel, uint32_t) { return "the mean input of channel " + std::to_string(channel) + " is not finite"; });
  for_each(context, I, [=] __device__(int64_t i) {
    const double x = x_sum[i] / n_tokens;
    if (!isfinite(x)) report(slot, i, 0);
    double value = pow(x, ratio);
    if (w_sum != nullptr) value /= pow(w_sum[i] / n_rows, 1 - ratio) + smallest_weight;
    s[i] = value < smallest_scale ? smallest_scale : value;
  });
  launch(context, 1, block_threads, 0, find_extremes, s, I, found.data());
  for_each(context, I, [=] __device__(int64_t i) {
    const float value = static_cast<float>(s[i] / sqrt(extremes->most * extremes->least));
    scales[i] = isfinite(value) ? value : 1.0f;
  });
}

void divide_columns(Context& context, const Views& in, const Views& out, const Options&) {
  with_weight_type(in[0].dtype, [&](auto type) { divide<decltype(type)>(context, in, out); });
}

void squared_error_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t n = in[1].count(), n_chunks = (n + error_chunk - 1) / error_chunk;
  if (n == 0) return;
  const Scratch<double> partials = context.scratch<double>(n_chunks);
  launch(context, static_cast<unsigned>(n_chunks), block_threads, 0, find_errors, in[1].as<float>(), in[2].as<float>(), n, partials.data());
  merge_into(context, in[0].as<double>(), partials.data(), n_chunks, 0.0, Sum{});
}

}  // namespace bitwright::cuda
