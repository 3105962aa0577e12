// The zeros of a weight on a CUDA device: see constant.cc. A block of threads counts one row.
#include "cuda/launch.cuh"
#include "pruning/kernels.h"

namespace bitwright::cuda {
namespace {

__global__ void __launch_bounds__(block_threads) count_zeros(AnyFloat weight, int64_t columns, float epsilon, uint8_t* mask, unsigned long long* counts) {
  __shared__ unsigned long long shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x;
  unsigned long long own = 0;
  for (int64_t j = threadIdx.x; j < columns; j += block_threads) {
    const bool is_zero = fabsf(weight.value(row * columns + j)) <= epsilon;
    mask[row * columns + j] = is_zero;
    own += is_zero;
  }
  const unsigned long long zeros = over_block(own, shared, Sum{});
  if (threadIdx.x != 0) return;
  atomicAdd(&counts[0], zeros);
  if (zeros == static_cast<unsigned long long>(columns)) atomicAdd(&counts[1], 1ull);
}

}  // namespace

void zero_mask(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t O = in[0].extent(0), I = in[0].extent(1);
  const Scratch<unsigned long long> sums = context.scratch<unsigned long long>(2);
  unsigned long long* counts = sums.data();
  double* told = out[1].as<double>();
  context.clear(counts, 2 * static_cast<int64_t>(sizeof(unsigned long long)));
  if (O > 0) launch(context, static_cast<unsigned>(O), block_threads, 0, count_zeros, AnyFloat(in[0]), I, static_cast<float>(options.number("epsilon")), out[0].as<uint8_t>(), counts);
  for_each(context, 2, [=] __device__(int64_t i) { told[i] = static_cast<double>(counts[i]); });
}

}  // namespace bitwright::cuda
