// Wanda on a CUDA device: see wanda.cc. A block of threads takes one row; which of its scores are the smallest is found byte by byte of their bits.
#include "cuda/launch.cuh"
#include "pruning/kernels.h"
#include "pruning/select.h"

namespace bitwright::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(block_threads) prune_rows(int64_t columns, int64_t n_zero, const typename T::Stored* weight, const float* norms, typename T::Stored* pruned, uint8_t* mask) {
  __shared__ unsigned int counts[256];
  __shared__ uint32_t prefix;
  __shared__ int64_t left;
  const auto* w = weight + static_cast<int64_t>(blockIdx.x) * columns;
  auto* to = pruned + static_cast<int64_t>(blockIdx.x) * columns;
  uint8_t* own_mask = mask + static_cast<int64_t>(blockIdx.x) * columns;
  if (threadIdx.x == 0) {
    prefix = 0;
    left = n_zero;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    counts[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t j = threadIdx.x; j < columns; j += block_threads) {
      const uint32_t key = key_of(fabsf(T::load(w[j])) * norms[j]);
      if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8)) atomicAdd(&counts[key >> shift & 255u], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      uint32_t digit = 0;
      while (counts[digit] < left) left -= counts[digit++];
      prefix |= digit << shift;
    }
    __syncthreads();
  }
  // Ties in the order of the columns: each thread takes neighbours and counts those before it.
  const int64_t own = (columns + block_threads - 1) / block_threads, begin = threadIdx.x * own, end = begin + own < columns ? begin + own : columns;
  unsigned int found = 0;
  for (int64_t j = begin; j < end; ++j) found += key_of(fabsf(T::load(w[j])) * norms[j]) == prefix;
  counts[threadIdx.x] = found;
  __syncthreads();
  int64_t before = 0;
  for (int t = 0; t < static_cast<int>(threadIdx.x); ++t) before += counts[t];
  for (int64_t j = begin; j < end; ++j) {
    const uint32_t key = key_of(fabsf(T::load(w[j])) * norms[j]);
    own_mask[j] = key < prefix || (key == prefix && before++ < left);
    to[j] = own_mask[j] != 0 ? typename T::Stored{} : w[j];
  }
}

template <class T>
void prune(Context& context, const Views& in, const Views& out, const Sparsity& sparsity, const float* norms) {
  using Stored = typename T::Stored;
  const int64_t O = in[0].extent(0), I = in[0].extent(1);
  const Stored* weight = in[0].as<Stored>();
  Stored* pruned = out[0].as<Stored>();
  uint8_t* mask = out[1].as<uint8_t>();
  const int64_t n_zero = sparsity.of(I), n = sparsity.n, m = sparsity.m;
  if (m == 0 && n_zero > 0 && n_zero < I && O > 0) {
    launch(context, static_cast<unsigned>(O), block_threads, 0, prune_rows<T>, I, n_zero, weight, norms, pruned, mask);
    return;
  }
  for_rows(context, O, I, [=] __device__(int64_t row, int64_t column) {
    const int64_t i = row * I + column, first = m > 0 ? column / m * m : 0;
    const bool is_zero = m > 0 ? is_among_smallest([=](int64_t k) { return fabsf(T::load(weight[row * I + first + k])) * norms[first + k]; }, column - first, n, m) : n_zero > 0;
    mask[i] = is_zero;
    pruned[i] = is_zero ? Stored{} : weight[i];
  });
}

}  // namespace

void prune_wanda(Context& context, const Views& in, const Views& out, const Options& options) {
  Sparsity sparsity;
  (void)Sparsity::from(options, in[0].extent(1), sparsity);
  const int64_t I = in[0].extent(1);
  const Scratch<float> roots = context.scratch<float>(I > 0 ? I : 1);
  float* norms = roots.data();
  const float* importance = in[1].as<float>();
  FaultSlot* slot = context.fault([](uint32_t column, uint32_t bits) { return "the importance of column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
  for_each(context, I, [=] __device__(int64_t j) {
    if (!(importance[j] >= 0) || !isfinite(importance[j])) report(slot, j, bits_of(importance[j]));
    norms[j] = importance[j] >= 0 ? sqrtf(importance[j]) : 0.0f;
  });
  with_weight_type(in[0].dtype, [&](auto type) { prune<decltype(type)>(context, in, out, sparsity, norms); });
}

}  // namespace bitwright::cuda
