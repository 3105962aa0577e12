// Blocks of a codebook on a CUDA device: see blockwise.cc. A block of at most 256 values is a warp's, which holds it in registers; a longer one a block of threads'.
// Codes, magnitudes and values are the processor's to the bit. The mean of `center` is a sum in double in another order: it can differ where that lies within
// n · 2^-53 of the middle between two floats.
#include "cuda/reductions.cuh"
#include "formats/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int most_codes = 256, warps = block_threads / warp_threads;

/// Codes of scaled values: middles between neighbours that lie below.
struct Codebook {
  const float* codebook;
  int n_codes;

  __device__ void find_middles(float* middles) const {
    for (int i = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); i + 1 < n_codes; i += static_cast<int>(blockDim.x * blockDim.y)) middles[i] = (codebook[i] + codebook[i + 1]) / 2;
    __syncthreads();
  }
  __device__ uint8_t code(const float* middles, float value, float inverse) const {
    const float product = value * inverse, scaled = product < -1.0f ? -1.0f : product > 1.0f ? 1.0f : product;
    int first = 0;
    for (int count = n_codes - 1; count > 0;) {
      const int half = count / 2;
      if (middles[first + half] < scaled) {
        first += half + 1;
        count -= half + 1;
      } else count = half;
    }
    return static_cast<uint8_t>(first);
  }
};

__device__ inline float inverse_of(float largest) { return 1.0f / fmaxf(largest, 1e-38f); }

/// A warp takes `at_once` blocks that follow each other, so that their loads are on the way together; a lane holds `held` values of each.
template <class T, int held, int at_once>
__global__ void __launch_bounds__(block_threads) code_by_warps(const typename T::Stored* x, int64_t n, int64_t n_blocks, int64_t blocksize, Codebook codebook, uint8_t* codes, float* magnitudes, FaultSlot* bad) {
  __shared__ float middles[most_codes];
  codebook.find_middles(middles);
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * warps + threadIdx.y) * at_once;
  float values[at_once][held];
#pragma unroll
  for (int b = 0; b < at_once; ++b)
#pragma unroll
    for (int k = 0; k < held; ++k) {
      const int64_t inside = lane + k * warp_threads, i = (first + b) * blocksize + inside;
      values[b][k] = inside < blocksize && i < n ? T::load(x[i]) : 0.0f;
    }
#pragma unroll
  for (int b = 0; b < at_once; ++b) {
    float largest = 0;
#pragma unroll
    for (int k = 0; k < held; ++k) {
      if (!isfinite(values[b][k])) report(bad, first + b, 0);
      largest = fmaxf(largest, fabsf(values[b][k]));
    }
    for (int distance = warp_threads / 2; distance > 0; distance /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, distance));
    if (lane == 0 && first + b < n_blocks) magnitudes[first + b] = largest;
    const float inverse = inverse_of(largest);
#pragma unroll
    for (int k = 0; k < held; ++k) {
      const int64_t inside = lane + k * warp_threads, i = (first + b) * blocksize + inside;
      if (inside < blocksize && i < n) codes[i] = codebook.code(middles, values[b][k], inverse);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads) code_by_blocks(const typename T::Stored* x, int64_t n, int64_t blocksize, Codebook codebook, uint8_t* codes, float* magnitudes, FaultSlot* bad) {
  __shared__ float middles[most_codes], shared[warps];
  codebook.find_middles(middles);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * blocksize, end = begin + blocksize < n ? begin + blocksize : n;
  float largest = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
    const float value = T::load(x[i]);
    if (!isfinite(value)) report(bad, blockIdx.x, 0);
    largest = fmaxf(largest, fabsf(value));
  }
  largest = over_block(largest, shared, Larger{});
  if (threadIdx.x == 0) magnitudes[blockIdx.x] = largest;
  const float inverse = inverse_of(largest);
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) codes[i] = codebook.code(middles, T::load(x[i]), inverse);
}

/// i / size; sizes are powers of two but for what a test asks.
struct BlockOf {
  int64_t size;
  int shift;
  explicit BlockOf(int64_t blocksize) : size(blocksize), shift(-1) {
    for (int s = 0; s < 32; ++s)
      if (int64_t{1} << s == blocksize) shift = s;
  }
  __device__ int64_t operator()(int64_t i) const { return shift >= 0 ? i >> shift : i / size; }
};

template <class T>
void write_codes(Context& context, const Views& in, const Views& out, int64_t blocksize, FaultSlot* bad) {
  const int64_t n = in[0].count(), n_blocks = out[1].count();
  const auto* x = in[0].as<typename T::Stored>();
  const Codebook codebook{in[1].as<float>(), static_cast<int>(in[1].count())};
  uint8_t* codes = out[0].as<uint8_t>();
  float* magnitudes = out[1].as<float>();
  const dim3 threads(warp_threads, warps);
  const auto grid = [&](int64_t at_once) { return static_cast<unsigned>((n_blocks + warps * at_once - 1) / (warps * at_once)); };
  if (blocksize <= 2 * warp_threads) launch(context, grid(4), threads, 0, code_by_warps<T, 2, 4>, x, n, n_blocks, blocksize, codebook, codes, magnitudes, bad);
  else if (blocksize <= 8 * warp_threads) launch(context, grid(1), threads, 0, code_by_warps<T, 8, 1>, x, n, n_blocks, blocksize, codebook, codes, magnitudes, bad);
  else launch(context, static_cast<unsigned>(n_blocks), block_threads, 0, code_by_blocks<T>, x, n, blocksize, codebook, codes, magnitudes, bad);
}

template <class T>
void write_values(Context& context, const Views& in, const Views& out, int64_t blocksize, FaultSlot* unknown) {
  const BlockOf block(blocksize);
  const uint8_t* codes = in[0].as<uint8_t>();
  const float *magnitudes = in[1].as<float>(), *codebook = in[2].as<float>(), *offset = in[3].present ? in[3].as<float>() : nullptr;
  const int n_codes = static_cast<int>(in[2].count());
  auto* values = out[0].as<typename T::Stored>();
  for_each(context, out[0].count(), [=] __device__(int64_t i) {
    const int code = codes[i];
    if (code >= n_codes) {
      report(unknown, i, static_cast<uint32_t>(code));
      return;
    }
    const float value = codebook[code] * magnitudes[block(i)];
    values[i] = T::store(offset != nullptr ? value + offset[0] : value);
  });
}

/// partials[block] = Σ of every gridDim-th stretch.
__global__ void __launch_bounds__(block_threads) sum_stretches(const float* values, int64_t n, double* partials) {
  __shared__ double shared[warps];
  double sum = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < n; i += static_cast<int64_t>(gridDim.x) * block_threads) sum += static_cast<double>(values[i]);
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

}  // namespace

void blockwise_codes(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t blocksize = options.integer("blocksize"), n_codes = in[1].count();
  const float* codebook = in[1].as<float>();
  FaultSlot* order = context.fault([](uint32_t, uint32_t) { return std::string("the codebook is not in ascending order"); });
  for_each(context, n_codes - 1, [=] __device__(int64_t i) {
    if (codebook[i + 1] < codebook[i]) report(order, i, 0);
  });
  if (in[0].count() == 0) return;
  FaultSlot* bad = context.fault([blocksize](uint32_t block, uint32_t) { return "the block that begins with value " + std::to_string(block * blocksize) + " has one that is NaN or infinite"; });
  with_weight_type(in[0].dtype, [&](auto type) { write_codes<decltype(type)>(context, in, out, blocksize, bad); });
}

void blockwise_values(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t n_codes = in[2].count();
  FaultSlot* unknown = context.fault([n_codes](uint32_t, uint32_t code) { return "the code " + std::to_string(code) + " stands for nothing in a codebook of " + std::to_string(n_codes); });
  with_weight_type(out[0].dtype, [&](auto type) { write_values<decltype(type)>(context, in, out, options.integer("blocksize"), unknown); });
}

void center(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n = in[0].count(), n_partials = std::min<int64_t>(1024, (n + block_threads - 1) / block_threads);
  const Scratch<double> sums = context.scratch<double>(n_partials + 1);
  double* total = sums.data();
  const float* values = in[0].as<float>();
  float *centered = out[0].as<float>(), *mean = out[1].as<float>();
  context.clear(total, sizeof(double));
  if (n > 0) {
    launch(context, static_cast<unsigned>(n_partials), block_threads, 0, sum_stretches, values, n, total + 1);
    merge_into(context, total, total + 1, n_partials, 0.0, Sum{});
  }
  for_each(context, 1, [=] __device__(int64_t) { *mean = n == 0 ? 0.0f : static_cast<float>(*total / static_cast<double>(n)); });
  for_each(context, n, [=] __device__(int64_t i) { centered[i] = values[i] - *mean; });
}

void pack_nibbles(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n = in[0].count();
  const uint8_t* codes = in[0].as<uint8_t>();
  uint8_t* packed = out[0].as<uint8_t>();
  for_each(context, out[0].count(), [=] __device__(int64_t i) { packed[i] = static_cast<uint8_t>((codes[2 * i] & 15u) << 4 | (2 * i + 1 < n ? codes[2 * i + 1] & 15u : 0u)); });
}

void unpack_nibbles(Context& context, const Views& in, const Views& out, const Options&) {
  const uint8_t* packed = in[0].as<uint8_t>();
  uint8_t* codes = out[0].as<uint8_t>();
  for_each(context, out[0].count(), [=] __device__(int64_t i) { codes[i] = static_cast<uint8_t>(packed[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u); });
}

}  // namespace bitwright::cuda
