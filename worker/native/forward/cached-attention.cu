// Attention of one new token per document over kept keys and values on a CUDA device: see cached-attention.cc for the shapes. A block takes one head of one
// document through its keys in tiles of 256, as attention.cu does: scores, running maximum and sum, weighted values; scores and sums are double.
// Heads that share keys and values read them through the device's second cache.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int n_warps = block_threads / warp_threads;

struct Heads {
  int64_t n_heads, n_kv_heads, head_dim, window, capacity;
  double scale;
  /// Sums that stand beside each other: of every column for each of so many groups of keys.
  int n_groups;
};

struct Larger {
  __device__ double operator()(double a, double b) const { return b > a ? b : a; }
};

/// Σ of a warp's lanes; all lanes get the same bits.
__device__ double over_warp(double value) {
  for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
    uint32_t words[2];
    memcpy(words, &value, sizeof(value));
    for (uint32_t& word : words) word = __shfl_xor_sync(0xffffffffu, word, distance);
    double other;
    memcpy(&other, words, sizeof(other));
    value += other;
  }
  return value;
}

__global__ void __launch_bounds__(block_threads) attend_cached(const float* q, const float* k, const float* v, const int32_t* lengths, float* y, Heads heads, FaultSlot* slot) {
  __shared__ double scores[block_threads], partial[n_warps];
  BITWRIGHT_DYNAMIC_SHARED(shared);
  double* sums = reinterpret_cast<double*>(shared);  // [n_groups, head_dim], each written by one thread alone
  const int thread = static_cast<int>(threadIdx.x), warp = thread / warp_threads, lane = thread % warp_threads;
  const int64_t document = blockIdx.x / heads.n_heads, head = blockIdx.x % heads.n_heads, dim = heads.head_dim, width = heads.n_kv_heads * dim;
  const int64_t length = lengths[document];
  if (length < 1 || length > heads.capacity) {
    if (thread == 0) report(slot, document, static_cast<uint32_t>(length));
    return;
  }
  const int64_t begin = document * heads.capacity * width + head / (heads.n_heads / heads.n_kv_heads) * dim;
  const float *query = q + (document * heads.n_heads + head) * dim, *keys = k + begin, *values = v + begin;
  const int n_sums = heads.n_groups * static_cast<int>(dim);
  for (int i = thread; i < n_sums; i += block_threads) sums[i] = 0;
  double peak = -INFINITY, total = 0;
  for (int64_t first = heads.window > 0 && length > heads.window ? length - heads.window : 0; first < length; first += block_threads) {
    const int n_keys = static_cast<int>(length - first < block_threads ? length - first : block_threads);
    // A warp reads a key, its lanes the columns beside each other.
    for (int key = warp; key < n_keys; key += n_warps) {
      double product = 0;
      for (int64_t i = lane; i < dim; i += warp_threads) product += static_cast<double>(query[i]) * keys[(first + key) * width + i];
      product = over_warp(product);
      if (lane == 0) scores[key] = product * heads.scale;
    }
    __syncthreads();
    const double score = thread < n_keys ? scores[thread] : -INFINITY;
    const double new_peak = Larger{}(peak, over_block(score, partial, Larger{}));
    // What has seen nothing yet has no peak; a NaN is seen and stays.
    const double factor = peak == -INFINITY ? 0 : exp(peak - new_peak), weight = score == -INFINITY ? 0 : exp(score - new_peak);
    if (thread < n_keys) scores[thread] = weight;
    total = total * factor + over_block(weight, partial, Sum{});
    peak = new_peak;
    for (int i = thread; i < n_sums; i += block_threads) {
      const int column = i % static_cast<int>(dim);
      double sum = sums[i] * factor;
      for (int key = i / static_cast<int>(dim); key < n_keys; key += heads.n_groups) sum += scores[key] * values[(first + key) * width + column];
      sums[i] = sum;
    }
    __syncthreads();
  }
  for (int column = thread; column < dim; column += block_threads) {
    double sum = sums[column];
    for (int group = 1; group < heads.n_groups; ++group) sum += sums[group * dim + column];
    y[(document * heads.n_heads + head) * dim + column] = static_cast<float>(sum / total);
  }
}

/// Sums of a block that fit beside its scores in the 48 KB of every device.
constexpr int64_t widest_head = 4096;

}  // namespace

void store_rows(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t R = in[0].extent(0), I = in[0].extent(1), T = in[1].extent(0);
  float* cache = in[0].as<float>();
  const float* x = in[1].as<float>();
  const int32_t* rows = in[2].as<int32_t>();
  FaultSlot* slot = context.fault([R](uint32_t, uint32_t row) { return "row " + std::to_string(static_cast<int32_t>(row)) + " is outside the cache of " + std::to_string(R); });
  // Of tokens that name the same row the last one is kept, as on the processor.
  const Scratch<int32_t> last = context.scratch<int32_t>(R);
  int32_t* last_token = last.data();
  for_each(context, R, [=] __device__(int64_t row) { last_token[row] = -1; });
  for_each(context, T, [=] __device__(int64_t t) {
    if (rows[t] < 0 || rows[t] >= R) report(slot, t, static_cast<uint32_t>(rows[t]));
    else atomicMax(&last_token[rows[t]], static_cast<int32_t>(t));
  });
  for_rows(context, T, I, [=] __device__(int64_t t, int64_t column) {
    const int32_t row = rows[t];
    if (row >= 0 && row < R && last_token[row] == t) cache[row * I + column] = x[t * I + column];
  });
}

void cached_attention(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t D = in[0].extent(0), C = in[1].extent(0) / D, head_dim = options.integer("head_dim");
  if (head_dim > widest_head)
    throw Failure{"cached_attention with heads of " + std::to_string(head_dim) + " columns is wider than the CUDA backend takes, " + std::to_string(widest_head)};
  const int n_groups = head_dim < block_threads ? static_cast<int>(block_threads / head_dim) : 1;
  const Heads heads{options.integer("n_heads"), options.integer("n_kv_heads"), head_dim, options.integer("sliding_window", 0), C, options.number("scale"), n_groups};
  FaultSlot* slot = context.fault([C](uint32_t, uint32_t length) { return "length " + std::to_string(static_cast<int32_t>(length)) + " is outside 1 to " + std::to_string(C); });
  const size_t shared_bytes = sizeof(double) * static_cast<size_t>(n_groups * head_dim);
  launch(context, static_cast<unsigned>(D * heads.n_heads), block_threads, shared_bytes, attend_cached, in[0].as<float>(), in[1].as<float>(), in[2].as<float>(), in[3].as<int32_t>(), out[0].as<float>(), heads, slot);
}

}  // namespace bitwright::cuda
