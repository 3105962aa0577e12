// The k smallest of many scores on a CUDA device, byte by byte of their bits: see select.h. Counts are integers, so the order of the threads does not show.
#include "pruning/select.h"

#include "cuda/launch.cuh"
#include "pruning/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int n_bins = 256;
/// Scores that one block of threads goes through.
constexpr int64_t stretch = 8192;

/// What is known of the last score that goes: its upper bytes, and how many scores with these bytes go.
struct Search {
  uint32_t prefix;
  uint32_t unused;
  unsigned long long left;
};

/// counts[digit] of the scores whose bytes above `shift` are those found so far.
__global__ void __launch_bounds__(block_threads) count_digits(int64_t n, const float* scores, const Search* search, int shift, unsigned long long* counts) {
  __shared__ unsigned int own[n_bins];
  own[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * stretch, end = begin + stretch < n ? begin + stretch : n;
  const uint32_t known = shift == 24 ? 0 : search->prefix >> (shift + 8);
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
    const uint32_t key = key_of(scores[i]);
    if ((shift == 24 ? 0 : key >> (shift + 8)) == known) atomicAdd(&own[key >> shift & 255u], 1u);
  }
  __syncthreads();
  if (own[threadIdx.x] > 0) atomicAdd(&counts[threadIdx.x], static_cast<unsigned long long>(own[threadIdx.x]));
}

/// Scores equal to the last one that goes, in each stretch.
__global__ void __launch_bounds__(block_threads) count_ties(int64_t n, const float* scores, const Search* search, unsigned long long* ties) {
  __shared__ unsigned int own;
  if (threadIdx.x == 0) own = 0;
  __syncthreads();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * stretch, end = begin + stretch < n ? begin + stretch : n;
  unsigned int found = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) found += key_of(scores[i]) == search->prefix;
  if (found > 0) atomicAdd(&own, found);
  __syncthreads();
  if (threadIdx.x == 0) ties[blockIdx.x] = own;
}

/// Each thread takes neighbours, so that ties are counted in the order of the scores.
__global__ void __launch_bounds__(block_threads) write_mask(int64_t n, const float* scores, const Search* search, const unsigned long long* ties_before, uint8_t* mask) {
  __shared__ unsigned int ties[block_threads];
  constexpr int64_t own = stretch / block_threads;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * stretch + threadIdx.x * own, end = begin + own < n ? begin + own : n;
  unsigned int found = 0;
  for (int64_t i = begin; i < end; ++i) found += key_of(scores[i]) == search->prefix;
  ties[threadIdx.x] = found;
  __syncthreads();
  unsigned long long before = ties_before[blockIdx.x];
  for (int t = 0; t < static_cast<int>(threadIdx.x); ++t) before += ties[t];
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t key = key_of(scores[i]);
    mask[i] = key < search->prefix || (key == search->prefix && before++ < search->left);
  }
}

}  // namespace

void select_smallest(Context& context, int64_t n, const float* scores, int64_t k, uint8_t* mask) {
  if (k <= 0 || k >= n) {
    const uint8_t all = k > 0 && n > 0;
    for_each(context, n, [=] __device__(int64_t i) { mask[i] = all; });
    return;
  }
  const int64_t n_blocks = (n + stretch - 1) / stretch;
  const Scratch<Search> searches = context.scratch<Search>(1);
  const Scratch<unsigned long long> bins = context.scratch<unsigned long long>(n_bins), all_ties = context.scratch<unsigned long long>(n_blocks);
  Search* search = searches.data();
  unsigned long long *counts = bins.data(), *ties = all_ties.data();
  for_each(context, 1, [=] __device__(int64_t) { *search = {0, 0, static_cast<unsigned long long>(k)}; });
  for (int shift = 24; shift >= 0; shift -= 8) {
    context.clear(counts, n_bins * static_cast<int64_t>(sizeof(unsigned long long)));
    launch(context, static_cast<unsigned>(n_blocks), block_threads, 0, count_digits, n, scores, search, shift, counts);
    for_each(context, 1, [=] __device__(int64_t) {
      uint32_t digit = 0;
      while (counts[digit] < search->left) search->left -= counts[digit++];
      search->prefix |= digit << shift;
    });
  }
  launch(context, static_cast<unsigned>(n_blocks), block_threads, 0, count_ties, n, scores, search, ties);
  for_each(context, 1, [=] __device__(int64_t) {
    unsigned long long before = 0;
    for (int64_t b = 0; b < n_blocks; ++b) {
      const unsigned long long own = ties[b];
      ties[b] = before;
      before += own;
    }
  });
  launch(context, static_cast<unsigned>(n_blocks), block_threads, 0, write_mask, n, scores, search, ties, mask);
}

}  // namespace bitwright::cuda
