// k-means of weighted points on a CUDA device: the numbers of kmeans.cc to the last bit. And the search for the nearest centroid, which VPTQ's walk needs too.
#pragma once
#include "cuda/launch.cuh"
#include "quantizers/kmeans.h"

namespace bitwright::cuda {

/// What a search has found of a point: the bits of the squared distance above, the centroid below. Of equal distances the first centroid is the lesser key; a distance that is infinite or no
/// number is no find.
using NearestKey = unsigned long long;
inline constexpr NearestKey nothing_near = static_cast<NearestKey>(0x7f800000u) << 32;
__device__ inline int64_t centroid_of(NearestKey key) { return static_cast<int64_t>(key & 0xffffffffu); }
__device__ inline float distance_of(NearestKey key) { return float_of(static_cast<uint32_t>(key >> 32)); }

inline void forget_nearest(Context& context, NearestKey* keys, int64_t n) {
  for_each(context, n, [=] __device__(int64_t i) { keys[i] = nothing_near; });
}

/// Floats of a codebook that a block of threads has in shared memory at a time.
inline constexpr int book_chunk = 4096;

/// A block of threads holds `each` points per thread in registers and takes its slice of the centroids past them. Points says: value(i, c), and used(i) ≤ length where `may_end` (the last rows of a
/// weight that no vector fills). `L`: a length that the registers know, at least that of the points; zeros in both fill it up and add nothing.
template <int L, int each, class Points>
__global__ void __launch_bounds__(block_threads) search_nearest(Points points, int64_t n, const float* book, int64_t count, int64_t length, int64_t slice, NearestKey* keys) {
  __shared__ float chunk[book_chunk];
  constexpr int per_chunk = book_chunk / L;
  const int64_t base = static_cast<int64_t>(blockIdx.x) * (each * block_threads) + threadIdx.x;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * slice, end = begin + slice < count ? begin + slice : count;
  float x[each][L], least[each];
  int64_t used[each];
  uint32_t at[each];
#pragma unroll
  for (int p = 0; p < each; ++p) {
    const int64_t i = base + p * block_threads;
    least[p] = INFINITY;
    at[p] = 0;
    used[p] = Points::may_end && i < n ? points.used(i) : length;
#pragma unroll
    for (int c = 0; c < L; ++c) x[p][c] = i < n && c < used[p] ? points.value(i, c) : 0.0f;
  }
  for (int64_t first = begin; first < end; first += per_chunk) {
    const int m = static_cast<int>(end - first < per_chunk ? end - first : per_chunk);
    __syncthreads();
    for (int t = static_cast<int>(threadIdx.x); t < m * L; t += block_threads) chunk[t] = t % L < length ? book[(first + t / L) * length + t % L] : 0.0f;
    __syncthreads();
    for (int k = 0; k < m; ++k) {
#pragma unroll
      for (int p = 0; p < each; ++p) {
        float sum = 0;
#pragma unroll
        for (int c = 0; c < L; ++c) {
          const float difference = x[p][c] - chunk[k * L + c];
          if (!Points::may_end || c < used[p]) sum += difference * difference;
        }
        const bool nearer = sum < least[p];
        least[p] = nearer ? sum : least[p];
        at[p] = nearer ? static_cast<uint32_t>(first + k) : at[p];
      }
    }
  }
#pragma unroll
  for (int p = 0; p < each; ++p)
    if (base + p * block_threads < n && least[p] < INFINITY) atomicMin(keys + base + p * block_threads, static_cast<NearestKey>(bits_of(least[p])) << 32 | at[p]);
}

template <int L, class Points>
void search_of_length(Context& context, const Points& points, int64_t n, const float* book, int64_t count, int64_t length, NearestKey* keys) {
  constexpr int each = !Points::are_many || L > 16 ? 1 : L > 8 ? 2 : 4;
  const int64_t blocks = (n + each * block_threads - 1) / (each * block_threads);
  // Few points leave the device idle unless the centroids are shared out.
  const int64_t most_slices = (count + 63) / 64, slices = std::max<int64_t>(1, std::min(most_slices, 512 / blocks));
  const int64_t slice = (count + slices - 1) / slices;
  launch(context, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>((count + slice - 1) / slice)), block_threads, 0, search_nearest<L, each, Points>, points, n, book, count, length, slice, keys);
}

/// keys[i] ← the lesser of what it is and the find among `count` centroids of `length`, as F32.
template <class Points>
void find_nearest(Context& context, const Points& points, int64_t n, const float* book, int64_t count, int64_t length, NearestKey* keys) {
  if (n <= 0) return;
  if (length <= 2) search_of_length<2>(context, points, n, book, count, length, keys);
  else if (length <= 4) search_of_length<4>(context, points, n, book, count, length, keys);
  else if (length <= 8) search_of_length<8>(context, points, n, book, count, length, keys);
  else if (length <= 16) search_of_length<16>(context, points, n, book, count, length, keys);
  else search_of_length<64>(context, points, n, book, count, length, keys);
}

/// weighted_kmeans of kmeans.h on the device; `centroids` and what points and weights are lie there. Waits for the error of every iteration, which decides about the next.
void weighted_kmeans(Context& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, float* centroids, std::vector<double>& objective);

}  // namespace bitwright::cuda
