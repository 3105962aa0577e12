// Figures of the report on a CUDA device: see metrics.cc. Sums in double: blocks take stretches whose number follows from the shape, one more adds them in order.
// Beside inputs and results: a weight of m · n takes 8 m n bytes for its error in the norm of a Hessian, 12 m n where it is not F32; all else takes sums alone.
#include "cuda/launch.cuh"
#include "cuda/operations.h"

namespace bitwright::cuda {
namespace {

constexpr int64_t most_stretches = 1024;

/// results ← merge over i < n of load(i), by stretches and then over the stretches. Value is a struct of doubles.
template <class Value, class Load, class Merge>
__global__ void __launch_bounds__(block_threads) reduce_stretches(int64_t n, int64_t length, Value identity, Load load, Merge merge, Value* results) {
  __shared__ Value shared[block_threads / warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * length, end = begin + length < n ? begin + length : n;
  Value value = identity;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) value = merge(value, load(i));
  value = over_block(value, shared, merge);
  if (threadIdx.x == 0) results[blockIdx.x] = value;
}

template <class Value>
struct Stored {
  const Value* values;
  __device__ Value operator()(int64_t i) const { return values[i]; }
};

template <class Value, class Load, class Merge>
void reduce(Context& context, int64_t n, Value identity, const Load& load, const Merge& merge, Value* result) {
  const int64_t least = 8 * block_threads, wanted = (n + least - 1) / least, n_stretches = wanted < 1 ? 1 : wanted < most_stretches ? wanted : most_stretches;
  const Scratch<Value> partials = context.scratch<Value>(n_stretches);
  launch(context, static_cast<unsigned>(n_stretches), block_threads, 0, reduce_stretches<Value, Load, Merge>, n, (n + n_stretches - 1) / n_stretches, identity, load, merge, partials.data());
  launch(context, 1, block_threads, 0, reduce_stretches<Value, Stored<Value>, Merge>, n_stretches, n_stretches, identity, Stored<Value>{partials.data()}, merge, result);
}

struct Comparison {
  double squares_a, squares_b, squares_difference, products, largest_difference, largest_a;
};
struct MergeComparisons {
  __device__ Comparison operator()(const Comparison& a, const Comparison& b) const {
    return {a.squares_a + b.squares_a,   a.squares_b + b.squares_b,
            a.squares_difference + b.squares_difference, a.products + b.products,
            fmax(a.largest_difference, b.largest_difference), fmax(a.largest_a, b.largest_a)};
  }
};

void compare(Context& context, const Views& in, const Views& out, const Options&) {
  const AnyFloat a(in[0]), b(in[1]);
  reduce(
      context, in[0].count(), Comparison{},
      [=] __device__(int64_t i) {
        const double x = a.value(i), y = b.value(i), difference = x - y;
        return Comparison{x * x, y * y, difference * difference, x * y, fabs(difference), fabs(x)};
      },
      MergeComparisons{}, out[0].as<Comparison>());
}

/// result ← Σ over rows of x (x H), in double.
void quadratic_form(Context& context, const float* x, int64_t rows, int64_t n, const float* H, double* result) {
  const Scratch<float> products = context.scratch<float>(rows * n);
  context.gemm(DType::F32, false, false, rows, n, n, 1, x, n, H, n, 0, products.data(), n);
  const float* product = products.data();
  reduce(context, rows * n, 0.0, [=] __device__(int64_t i) { return static_cast<double>(x[i]) * product[i]; }, Sum{}, result);
}

void hessian_error(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t rows = in[0].extent(0), n = in[0].extent(1);
  const FloatCopy weight(context, in[0]);
  const AnyFloat quantized(in[1]);
  const Scratch<float> errors = context.scratch<float>(rows * n);
  const float* w = weight.data();
  float* error = errors.data();
  for_each(context, rows * n, [=] __device__(int64_t i) { error[i] = w[i] - quantized.value(i); });
  quadratic_form(context, error, rows, n, in[2].as<float>(), out[0].as<double>());
  quadratic_form(context, w, rows, n, in[2].as<float>(), out[0].as<double>() + 1);
}

struct Weighted {
  double error, trace;
};
struct AddWeighted {
  __device__ Weighted operator()(const Weighted& a, const Weighted& b) const { return {a.error + b.error, a.trace + b.trace}; }
};

void fisher_error(Context& context, const Views& in, const Views& out, const Options&) {
  const AnyFloat weight(in[0]), quantized(in[1]), information(in[2]);
  reduce(
      context, in[0].count(), Weighted{},
      [=] __device__(int64_t i) {
        const double error = weight.precise(i) - quantized.precise(i), F = information.precise(i);
        return Weighted{F * error * error, F};
      },
      AddWeighted{}, out[0].as<Weighted>());
}

/// Bins that fit into a block's shared memory; with more of them the blocks count in the result itself.
constexpr int64_t most_shared_bins = 4096;

__global__ void __launch_bounds__(block_threads) count_values(AnyFloat x, int64_t n, double min, double max, double per_unit, int64_t n_bins, bool is_shared, unsigned long long* counts) {
  BITWRIGHT_DYNAMIC_SHARED(shared);
  unsigned int* local = reinterpret_cast<unsigned int*>(shared);
  if (is_shared) {
    for (int64_t i = threadIdx.x; i < n_bins + 2; i += block_threads) local[i] = 0;
    __syncthreads();
  }
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < n; i += static_cast<int64_t>(gridDim.x) * block_threads) {
    const double value = x.precise(i);
    if (isnan(value)) continue;
    const int64_t position = value < min || value > max ? 0 : static_cast<int64_t>((value - min) * per_unit);
    const int64_t bin = value < min ? n_bins : value > max ? n_bins + 1 : position < n_bins - 1 ? position : n_bins - 1;
    // Counts are integers: the order does not matter.
    if (is_shared) atomicAdd(&local[bin], 1u);
    else atomicAdd(&counts[bin], 1ull);
  }
  if (!is_shared) return;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < n_bins + 2; i += block_threads)
    if (local[i] != 0) atomicAdd(&counts[i], static_cast<unsigned long long>(local[i]));
}

void histogram(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t n_bins = options.integer("n_bins"), n = in[0].count();
  const double min = options.number("min"), max = options.number("max"), per_unit = static_cast<double>(n_bins) / (max - min);
  context.clear(out[0].data, out[0].bytes());
  if (n == 0) return;
  const bool is_shared = n_bins + 2 <= most_shared_bins;
  const int64_t wanted = (n + 16 * block_threads - 1) / (16 * block_threads), blocks = wanted < 4096 ? wanted : 4096;
  // A block counts at most n / blocks values, far below 2^32.
  const size_t shared_bytes = is_shared ? static_cast<size_t>(n_bins + 2) * sizeof(unsigned int) : 0;
  launch(context, static_cast<unsigned>(blocks), block_threads, shared_bytes, count_values, AnyFloat(in[0]), n, min, max, per_unit, n_bins, is_shared, out[0].as<unsigned long long>());
}

struct Summary {
  double count, n_nan, n_infinite, min, max, sum, squares, absmax, first_not_finite;
};
struct MergeSummaries {
  __device__ Summary operator()(const Summary& a, const Summary& b) const {
    // The stretches of a block's threads are interleaved: the first place is the smaller one.
    const double first = a.first_not_finite < 0 ? b.first_not_finite : b.first_not_finite < 0 ? a.first_not_finite : fmin(a.first_not_finite, b.first_not_finite);
    return {a.count + b.count, a.n_nan + b.n_nan, a.n_infinite + b.n_infinite, fmin(a.min, b.min), fmax(a.max, b.max), a.sum + b.sum, a.squares + b.squares, fmax(a.absmax, b.absmax), first};
  }
};

void summary(Context& context, const Views& in, const Views& out, const Options&) {
  const AnyFloat values(in[0]);
  reduce(
      context, in[0].count(), Summary{0, 0, 0, INFINITY, -INFINITY, 0, 0, 0, -1},
      [=] __device__(int64_t i) {
        const double x = values.precise(i);
        if (!isfinite(x)) return Summary{1, isnan(x) ? 1.0 : 0.0, isnan(x) ? 0.0 : 1.0, INFINITY, -INFINITY, 0, 0, 0, static_cast<double>(i)};
        return Summary{1, 0, 0, x, x, x, x * x, fabs(x), -1};
      },
      MergeSummaries{}, out[0].as<Summary>());
}

}  // namespace

KernelList metric_kernels() { return {{"compare", compare}, {"hessian_error", hessian_error}, {"fisher_error", fisher_error}, {"histogram", histogram}, {"summary", summary}}; }

}  // namespace bitwright::cuda
