// Reductions that several operations begin or end with: one number of many by a single block, and the largest magnitude of cells that lie end to end.
#pragma once
#include "cuda/launch.cuh"

namespace bitwright::cuda {

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <class Value, class Merge>
__global__ void __launch_bounds__(block_threads) merge_values(const Value* values, int64_t n, Value identity, Merge merge, Value* result) {
  __shared__ Value shared[block_threads / warp_threads];
  Value value = identity;
  for (int64_t i = threadIdx.x; i < n; i += block_threads) value = merge(value, values[i]);
  value = over_block(value, shared, merge);
  if (threadIdx.x == 0) *result = merge(*result, value);
}

/// *result = what it is, merged with n values; it may be the first of them where that changes nothing.
template <class Value, class Merge>
void merge_into(Context& context, Value* result, const Value* values, int64_t n, Value identity, const Merge& merge) {
  launch(context, 1, block_threads, 0, merge_values<Value, Merge>, values, n, identity, merge, result);
}

/// maxima[cell] = max |x| over `length` values that lie behind each other; a NaN is not in it.
template <class T>
__global__ void __launch_bounds__(block_threads) find_largest(const typename T::Stored* values, int64_t length, float* maxima) {
  __shared__ float shared[block_threads / warp_threads];
  const auto* cell = values + static_cast<int64_t>(blockIdx.x) * length;
  float most = 0;
  for (int64_t i = threadIdx.x; i < length; i += blockDim.x) most = fmaxf(most, fabsf(T::load(cell[i])));
  most = over_block(most, shared, Larger{});
  if (threadIdx.x == 0) maxima[blockIdx.x] = most;
}

/// maxima [n_cells] of the magnitudes of each cell, or its first of all cells where they are one.
template <class T>
void largest_magnitudes(Context& context, const typename T::Stored* values, int64_t n_cells, int64_t length, bool are_one, float* maxima) {
  const int threads = length > 256 ? block_threads : length > 64 ? 64 : warp_threads;
  launch(context, static_cast<unsigned>(n_cells), threads, 0, find_largest<T>, values, length, maxima);
  if (are_one) merge_into(context, maxima, maxima, n_cells, 0.0f, Larger{});
}

}  // namespace bitwright::cuda
