// A running histogram on a CUDA device: see histogram-accumulate.cc. The width is found on the device, so that nothing waits for the host.
// Beside counts and inputs: the counts as they were, 8 bytes for each bin.
#include "cuda/launch.cuh"
#include "observers/histogram-bins.h"
#include "observers/kernels.h"

namespace bitwright::cuda {
namespace {

struct Seen {
  double mn, mx, n_odd;
};
struct MergeSeen {
  __device__ Seen operator()(const Seen& a, const Seen& b) const { return {fmin(a.mn, b.mn), fmax(a.mx, b.mx), a.n_odd + b.n_odd}; }
};
__device__ constexpr Seen nothing_seen{INFINITY, -INFINITY, 0};

__global__ void __launch_bounds__(block_threads) see_values(const float* x, int64_t n, int64_t length, Seen* seen) {
  __shared__ Seen shared[block_threads / warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * length, end = begin + length < n ? begin + length : n;
  Seen own = nothing_seen;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_threads) own = MergeSeen{}(own, isfinite(x[i]) ? Seen{x[i], x[i], 0} : Seen{INFINITY, -INFINITY, 1});
  own = over_block(own, shared, MergeSeen{});
  if (threadIdx.x == 0) seen[blockIdx.x] = own;
}

/// facts with the batch, and in `before` the width that the counts still have.
__global__ void __launch_bounds__(block_threads) widen(const Seen* seen, int64_t n, int64_t n_half, double* facts, double* before) {
  __shared__ Seen shared[block_threads / warp_threads];
  Seen own = nothing_seen;
  for (int64_t i = threadIdx.x; i < n; i += block_threads) own = MergeSeen{}(own, seen[i]);
  own = over_block(own, shared, MergeSeen{});
  if (threadIdx.x != 0) return;
  facts[1] = fmin(facts[1], own.mn);
  facts[2] = fmax(facts[2], own.mx);
  facts[3] += own.n_odd;
  *before = facts[0];
  if (facts[1] <= facts[2]) facts[0] = width_for(facts[0], fmax(-facts[1], facts[2]), n_half);
}

}  // namespace

void histogram_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t n_half = in[0].extent(0) / 2, n = in[2].count();
  if (n == 0) return;
  constexpr int64_t stretch = 1 << 16;
  const int64_t n_stretches = (n + stretch - 1) / stretch;
  const Scratch<Seen> all_seen = context.scratch<Seen>(n_stretches);
  const Scratch<double> width_before = context.scratch<double>(1);
  const Scratch<unsigned long long> old_counts = context.scratch<unsigned long long>(2 * n_half);
  double *facts = in[1].as<double>(), *before = width_before.data();
  unsigned long long *counts = in[0].as<unsigned long long>(), *old = old_counts.data();
  const float* x = in[2].as<float>();
  launch(context, static_cast<unsigned>(n_stretches), block_threads, 0, see_values, x, n, stretch, all_seen.data());
  launch(context, 1, block_threads, 0, widen, all_seen.data(), n_stretches, n_half, facts, before);
  for_each(context, 2 * n_half, [=] __device__(int64_t i) {
    old[i] = counts[i];
    if (*before != 0 && facts[0] != *before) counts[i] = 0;
  });
  for_each(context, 2 * n_half, [=] __device__(int64_t i) {
    if (*before == 0 || facts[0] == *before || old[i] == 0) return;
    atomicAdd(&counts[merged_bin(i, ilogb(facts[0]) - ilogb(*before), n_half)], old[i]);
  });
  for_each(context, n, [=] __device__(int64_t i) {
    if (isfinite(x[i])) atomicAdd(&counts[bin_of(x[i], facts[0], n_half)], 1ull);
  });
}

}  // namespace bitwright::cuda
