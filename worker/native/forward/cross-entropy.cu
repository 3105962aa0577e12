// Cross entropy per row on a CUDA device: one block per row, maximum first, then the sum of exponentials. See cross-entropy.cc.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {
namespace {

/// Terms that a thread adds in float before the sum goes on in double: the error stays at 1e-7 for any vocabulary.
constexpr int float_run = 64;

struct Larger {
  __device__ float operator()(float a, float b) const { return b > a ? b : a; }
};

/// losses [T] and, where it is not nullptr, in their place the gradient [T, V] for the logits.
__global__ void __launch_bounds__(block_threads) entropy_rows(const float* logits, const int32_t* targets, double* losses, float* gradient, int64_t V, FaultSlot* slot) {
  __shared__ double sums[block_threads / warp_threads];
  __shared__ float maxima[block_threads / warp_threads];
  const int64_t t = blockIdx.x;
  const int32_t target = targets[t];
  if (target < 0 || target >= V) {
    if (threadIdx.x == 0) {
      if (target != -1) report(slot, t, static_cast<uint32_t>(target));
      if (gradient == nullptr) losses[t] = 0;
    }
    if (gradient != nullptr)
      for (int64_t i = threadIdx.x; i < V; i += block_threads) gradient[t * V + i] = 0;
    return;
  }
  const float* row = logits + t * V;
  float peak = -INFINITY;
  for (int64_t i = threadIdx.x; i < V; i += block_threads) peak = row[i] > peak ? row[i] : peak;
  peak = over_block(peak, maxima, Larger{});
  double total = 0;
  for (int64_t begin = threadIdx.x; begin < V; begin += block_threads * float_run) {
    float sum = 0;
    for (int64_t i = begin; i < V && i < begin + block_threads * float_run; i += block_threads) sum += expf(row[i] - peak);
    total += sum;
  }
  total = over_block(total, sums, Sum{});
  const double log_sum = log(total) + static_cast<double>(peak);
  if (gradient == nullptr) {
    if (threadIdx.x == 0) losses[t] = log_sum - static_cast<double>(row[target]);
    return;
  }
  for (int64_t i = threadIdx.x; i < V; i += block_threads) gradient[t * V + i] = expf(static_cast<float>(static_cast<double>(row[i]) - log_sum)) - (i == target ? 1.0f : 0.0f);
}

void start(Context& context, const Views& in, double* losses, float* gradient) {
  const int64_t T = in[0].extent(0), V = in[0].extent(1);
  if (T == 0) return;
  FaultSlot* slot = context.fault([V](uint32_t, uint32_t target) { return "target " + std::to_string(static_cast<int32_t>(target)) + " is outside the vocabulary of " + std::to_string(V); });
  launch(context, static_cast<unsigned>(T), block_threads, 0, entropy_rows, in[0].as<float>(), in[1].as<int32_t>(), losses, gradient, V, slot);
}

}  // namespace

void cross_entropy(Context& context, const Views& in, const Views& out, const Options&) { start(context, in, out[0].as<double>(), nullptr); }

void cross_entropy_backward(Context& context, const Views& in, const Views& out, const Options&) { start(context, in, nullptr, out[0].as<float>()); }

}  // namespace bitwright::cuda
