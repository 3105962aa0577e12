// Divergence of logits and greedy choice on a CUDA device: one block per row, see logit-divergence.cc. A row is read three times: largest logits, sums of
// exponentials, weighed differences; a block's threads add in float for 64 terms, then in double.
#include "cuda/launch.cuh"
#include "forward/divergence.h"
#include "forward/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int float_run = 64;

struct Top {
  float logit;
  int32_t at;  // -1: none yet
};
/// The first of the largest, whatever the order of the two.
struct FirstLargest {
  __device__ Top operator()(const Top& a, const Top& b) const {
    if (a.at < 0 || b.at < 0) return a.at < 0 ? b : a;
    const bool is_in_order = a.at < b.at;
    const bool is_second = is_in_order ? is_larger(b.logit, a.logit) : is_larger(a.logit, b.logit);
    return is_second == is_in_order ? b : a;
  }
};

__device__ Top top_of(const float* row, int64_t n, Top* shared) {
  Top top{0, -1};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) top = FirstLargest{}(top, Top{row[i], static_cast<int32_t>(i)});
  return over_block(top, shared, FirstLargest{});
}

__device__ double log_sum_of(const float* row, int64_t n, float peak, double* shared) {
  double total = 0;
  for (int64_t begin = threadIdx.x; begin < n; begin += block_threads * float_run) {
    float sum = 0;
    for (int64_t i = begin; i < n && i < begin + block_threads * float_run; i += block_threads) sum += expf(row[i] - peak);
    total += sum;
  }
  return log(over_block(total, shared, Sum{})) + static_cast<double>(peak);
}

struct AddWeighed {
  __device__ Weighed operator()(const Weighed& a, const Weighed& b) const { return {a.total + b.total, a.difference + b.difference, a.other + b.other, a.curved + b.curved}; }
};

__device__ Weighed weigh(const float* p, const float* q, int64_t n, float peak, double offset, Weighed* shared) {
  const float shift = static_cast<float>(offset);
  Weighed sums{};
  for (int64_t begin = threadIdx.x; begin < n; begin += block_threads * float_run) {
    float total = 0, difference = 0, other = 0, bent = 0;
    for (int64_t i = begin; i < n && i < begin + block_threads * float_run; i += block_threads) {
      // Beyond 88 the exponential is infinite, and times a weight of 0 no number.
      const float w = expf(p[i] - peak), d = (p[i] - q[i]) - shift, e = expf(d < -88.0f ? 88.0f : -d);
      total += w;
      difference += w * d;
      other += w * e;
      bent += w * curved(d, e);
    }
    sums = AddWeighed{}(sums, Weighed{total, difference, other, bent});
  }
  sums = over_block(sums, shared, AddWeighed{});
  // What rounding `shift` to float left out.
  sums.difference += (static_cast<double>(shift) - offset) * sums.total;
  return sums;
}

__global__ void __launch_bounds__(block_threads) diverge_rows(const float* P, const float* Q, const int32_t* targets, double* results, int64_t V, FaultSlot* slot) {
  __shared__ Top tops[block_threads / warp_threads];
  __shared__ double totals[block_threads / warp_threads];
  __shared__ Weighed weighed[block_threads / warp_threads];
  const int64_t t = blockIdx.x;
  const int32_t target = targets[t];
  double* result = results + 4 * t;
  if (target < 0 || target >= V) {
    if (threadIdx.x == 0 && target != -1) report(slot, t, static_cast<uint32_t>(target));
    if (threadIdx.x < 4) result[threadIdx.x] = 0;
    return;
  }
  const float *p = P + t * V, *q = Q + t * V;
  const Top top = top_of(p, V, tops), other = top_of(q, V, tops);
  const double log_p = log_sum_of(p, V, top.logit, totals), log_q = log_sum_of(q, V, other.logit, totals);
  const Weighed sums = weigh(p, q, V, top.logit, log_p - log_q, weighed);
  if (threadIdx.x != 0) return;
  result[0] = divergence(sums);
  result[1] = static_cast<double>(p[target]) - log_p;
  result[2] = static_cast<double>(q[target]) - log_q;
  result[3] = top.at == other.at ? 1 : 0;
}

__global__ void __launch_bounds__(block_threads) choose_rows(const float* logits, int32_t* choices, int64_t V) {
  __shared__ Top tops[block_threads / warp_threads];
  const Top top = top_of(logits + blockIdx.x * V, V, tops);
  if (threadIdx.x == 0) choices[blockIdx.x] = top.at;
}

}  // namespace

void logit_divergence(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t T = in[0].extent(0), V = in[0].extent(1);
  if (T == 0) return;
  FaultSlot* slot = context.fault([V](uint32_t, uint32_t target) { return "target " + std::to_string(static_cast<int32_t>(target)) + " is outside the vocabulary of " + std::to_string(V); });
  launch(context, static_cast<unsigned>(T), block_threads, 0, diverge_rows, in[0].as<float>(), in[1].as<float>(), in[2].as<int32_t>(), out[0].as<double>(), V, slot);
}

void argmax(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t T = in[0].extent(0), V = in[0].extent(1);
  if (T > 0) launch(context, static_cast<unsigned>(T), block_threads, 0, choose_rows, in[0].as<float>(), out[0].as<int32_t>(), V);
}

}  // namespace bitwright::cuda
