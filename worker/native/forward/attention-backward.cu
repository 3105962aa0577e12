// The gradient of causal grouped-query attention on a CUDA device: see attention-backward.cc for the formula. A block takes one query of one head and leaves
// dq with two numbers of the row, log Σ e^s and Σ P ∘ dP; then a block takes one key of one key/value head through all queries that see it. Plain: nothing is
// kept in tiles across queries, and every score is computed three times.
// Beside inputs and results: the two numbers, 16 T · heads bytes.
#include "cuda/launch.cuh"
#include "forward/kernels.h"
#include "forward/visible-keys.h"

namespace bitwright::cuda {
namespace {

constexpr int row_threads = 128;

struct Row {
  double log_sum, mean;
};

/// Peak, sum of exponentials, and that sum weighed with dP; no peak yet: -infinity.
struct Soft {
  float peak;
  float unused;
  double total, weighed;
};
struct MergeSoft {
  __device__ Soft operator()(const Soft& a, const Soft& b) const {
    if (a.peak == -INFINITY) return b;
    if (b.peak == -INFINITY) return a;
    const float peak = b.peak > a.peak ? b.peak : a.peak;
    const double left = exp(static_cast<double>(a.peak) - peak), right = exp(static_cast<double>(b.peak) - peak);
    return {peak, 0, a.total * left + b.total * right, a.weighed * left + b.weighed * right};
  }
};

__device__ float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum = fmaf(a[i], b[i], sum);
  return sum;
}

__global__ void __launch_bounds__(row_threads) query_gradients(const float* q, const float* k, const float* v, const int32_t* offsets, const float* dy, float* dq, Row* rows, Heads heads) {
  __shared__ Soft shared[row_threads / warp_threads];
  __shared__ float scores[row_threads];
  const int64_t t = blockIdx.x, head = blockIdx.y, dim = heads.head_dim, width = heads.width(), kv_width = heads.kv_width();
  const int64_t at = t * width + head * dim, kv_column = head / heads.group() * dim;
  const int64_t first = first_visible_key(t, document_begin(offsets, heads.n_documents, t), heads.window);
  Soft soft{-INFINITY, 0, 0, 0};
  for (int64_t key = first + threadIdx.x; key <= t; key += row_threads) {
    const int64_t key_at = key * kv_width + kv_column;
    soft = MergeSoft{}(soft, Soft{dot(q + at, k + key_at, dim) * heads.scale, 0, 1, dot(dy + at, v + key_at, dim)});
  }
  soft = over_block(soft, shared, MergeSoft{});
  const Row row{log(soft.total) + soft.peak, soft.weighed / soft.total};
  if (threadIdx.x == 0) rows[t * heads.n_heads + head] = row;
  for (int64_t d = threadIdx.x; d < dim; d += row_threads) dq[at + d] = 0;
  for (int64_t begin = first; begin <= t; begin += row_threads) {
    const int64_t key = begin + threadIdx.x, key_at = key * kv_width + kv_column;
    __syncthreads();
    if (key <= t) {
      const float P = static_cast<float>(exp(static_cast<double>(dot(q + at, k + key_at, dim) * heads.scale) - row.log_sum));
      scores[threadIdx.x] = P * (dot(dy + at, v + key_at, dim) - static_cast<float>(row.mean)) * heads.scale;
    }
    __syncthreads();
    const int64_t n = t + 1 - begin < row_threads ? t + 1 - begin : row_threads;
    for (int64_t d = threadIdx.x; d < dim; d += row_threads) {
      float sum = dq[at + d];
      for (int64_t i = 0; i < n; ++i) sum = fmaf(scores[i], k[(begin + i) * kv_width + kv_column + d], sum);
      dq[at + d] = sum;
    }
  }
}

__global__ void __launch_bounds__(row_threads) key_gradients(const float* q, const float* k, const float* v, const int32_t* offsets, const float* dy, const Row* rows, float* dk, float* dv, Heads heads) {
  __shared__ float weights[row_threads], scores[row_threads];
  const int64_t key = blockIdx.x, kv_head = blockIdx.y, dim = heads.head_dim, width = heads.width(), kv_width = heads.kv_width(), group = heads.group();
  const int64_t key_at = key * kv_width + kv_head * dim, end = last_seeing_query(key, document_end(offsets, heads.n_documents, key, heads.T), heads.window) + 1;
  for (int64_t d = threadIdx.x; d < dim; d += row_threads) dk[key_at + d] = dv[key_at + d] = 0;
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (int64_t begin = key; begin < end; begin += row_threads) {
      const int64_t t = begin + threadIdx.x, at = t * width + head * dim;
      __syncthreads();
      if (t < end) {
        const Row row = rows[t * heads.n_heads + head];
        const float P = static_cast<float>(exp(static_cast<double>(dot(q + at, k + key_at, dim) * heads.scale) - row.log_sum));
        weights[threadIdx.x] = P;
        scores[threadIdx.x] = P * (dot(dy + at, v + key_at, dim) - static_cast<float>(row.mean)) * heads.scale;
      }
      __syncthreads();
      const int64_t n = end - begin < row_threads ? end - begin : row_threads;
      for (int64_t d = threadIdx.x; d < dim; d += row_threads) {
        float key_sum = dk[key_at + d], value_sum = dv[key_at + d];
        for (int64_t i = 0; i < n; ++i) {
          const int64_t from = (begin + i) * width + head * dim + d;
          key_sum = fmaf(scores[i], q[from], key_sum);
          value_sum = fmaf(weights[i], dy[from], value_sum);
        }
        dk[key_at + d] = key_sum;
        dv[key_at + d] = value_sum;
      }
    }
}

}  // namespace

void attention_backward(Context& context, const Views& in, const Views& out, const Options& options) {
  const Heads heads = checked_heads(context, in, options);
  if (heads.T == 0 || heads.n_documents < 1) return;
  const Scratch<Row> rows = context.scratch<Row>(heads.T * heads.n_heads);
  const float *q = in[0].as<float>(), *k = in[1].as<float>(), *v = in[2].as<float>(), *dy = in[4].as<float>();
  const int32_t* offsets = in[3].as<int32_t>();
  const unsigned T = static_cast<unsigned>(heads.T);
  launch(context, dim3(T, static_cast<unsigned>(heads.n_heads)), row_threads, 0, query_gradients, q, k, v, offsets, dy, out[0].as<float>(), rows.data(), heads);
  launch(context, dim3(T, static_cast<unsigned>(heads.n_kv_heads)), row_threads, 0, key_gradients, q, k, v, offsets, dy, rows.data(), out[1].as<float>(), out[2].as<float>(), heads);
}

}  // namespace bitwright::cuda
