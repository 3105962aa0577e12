// k-means of weighted points on a CUDA device: legend in kmeans.cc. Every sum is taken in the order of the processor: those of errors by tiles of 4096 points, one thread for each; those of a
// centroid over its points in their order, which a stable counting sort by centroid brings together. So a start that draws by errors draws the same points, and the codebooks have the same bits.
// Floor: (iterations) · n · count · length · 3 operations at the rate of F32 adds; the start passes `count` times over all points at the rate of memory. Both are brute force: products of matrices
// would be faster and would find other centroids where two are about as near.
// Beside points, their weights and the centroids: 20 bytes for each point, and tallies of 4 · count for each stretch of at least 32 points, 1024 stretches and 64 MB at most.
#include "quantizers/kmeans.cuh"

namespace bitwright::cuda {
namespace {

constexpr int64_t longest = 64, most_tallies = int64_t{1} << 24;
/// Passes over all points, of some 10 µs each, between two looks whether the work is still wanted.
constexpr int64_t launches_a_step = 32;

struct ManyPoints {
  static constexpr bool are_many = true, may_end = false;
  const float* points;
  int64_t length;
  __device__ float value(int64_t i, int c) const { return points[i * length + c]; }
  __device__ int64_t used(int64_t) const { return length; }
};

/// errors[i] = what the point counts for in a draw, and sums[tile] over those of a tile in their order.
__global__ void __launch_bounds__(block_threads) weigh_points(const float* weights, int64_t n, float* errors, double* sums) {
  __shared__ float tile[kmeans_tile];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kmeans_tile, count = n - first < kmeans_tile ? n - first : kmeans_tile;
  for (int64_t i = threadIdx.x; i < count; i += block_threads) errors[first + i] = tile[i] = drawing_weight(weights[first + i]);
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = sum_in_order(tile, count);
}

/// The point that is drawn becomes a centroid.
__global__ void draw_centroid(double random, const float* errors, int64_t n, const double* sums, int64_t n_tiles, const float* points, int64_t length, float* centroid, int64_t* chosen) {
  const int64_t i = drawn_point(random, errors, n, sums, n_tiles);
  *chosen = i;
  // Where every point that weighs anything is a centroid already, the rest stay at zero and are no point's.
  for (int64_t c = 0; i >= 0 && c < length; ++c) centroid[c] = points[i * length + c];
}

/// Errors with one centroid more, and their sums.
__global__ void __launch_bounds__(block_threads)
    lower_errors(const float* points, const float* weights, int64_t n, int64_t length, const float* centroid, const int64_t* chosen, bool is_first, float* errors, double* sums) {
  __shared__ float tile[kmeans_tile];
  if (*chosen < 0) return;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kmeans_tile, count = n - first < kmeans_tile ? n - first : kmeans_tile;
  for (int64_t i = threadIdx.x; i < count; i += block_threads) {
    const float before = is_first ? INFINITY : errors[first + i], error = weighted_distance(points + (first + i) * length, centroid, length, drawing_weight(weights[first + i]));
    errors[first + i] = tile[i] = error < before ? error : before;
  }
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = sum_in_order(tile, count);
}

/// errors[i] = distance · weight, and their sums.
__global__ void __launch_bounds__(block_threads) weigh_errors(const NearestKey* keys, const float* weights, int64_t n, float* errors, double* sums) {
  __shared__ float tile[kmeans_tile];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kmeans_tile, count = n - first < kmeans_tile ? n - first : kmeans_tile;
  for (int64_t i = threadIdx.x; i < count; i += block_threads) errors[first + i] = tile[i] = distance_of(keys[first + i]) * weights[first + i];
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = sum_in_order(tile, count);
}

// ---- a counting sort of points by centroid, which keeps their order ----------------------------------------------------

/// tallies [stretch, centroid]: points of a stretch that are a centroid's.
__global__ void __launch_bounds__(block_threads) tally_members(const NearestKey* keys, int64_t n, int64_t stretch, int64_t count, int32_t* tallies) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * stretch, end = first + stretch < n ? first + stretch : n;
  for (int64_t i = first + threadIdx.x; i < end; i += block_threads) atomicAdd(tallies + blockIdx.x * count + centroid_of(keys[i]), int32_t{1});
}

struct Starts {
  int64_t members, empty;
};

/// first[k]: where the members of centroid k begin, `count` + 1 of them; empty: centroids without members in their order, behind their number. One block.
__global__ void __launch_bounds__(block_threads) place_centroids(const int64_t* totals, int64_t count, int64_t* first, int64_t* n_empty, int32_t* empty) {
  __shared__ Starts starts[block_threads];
  const int64_t each = (count + block_threads - 1) / block_threads, begin = each * threadIdx.x, end = begin + each < count ? begin + each : count;
  Starts own{0, 0};
  for (int64_t k = begin; k < end; ++k) own = {own.members + totals[k], own.empty + (totals[k] == 0)};
  starts[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x == 0) {
    Starts sum{0, 0};
    for (Starts& start : starts) {
      const Starts next{sum.members + start.members, sum.empty + start.empty};
      start = sum;
      sum = next;
    }
    first[count] = sum.members;
    *n_empty = sum.empty;
  }
  __syncthreads();
  own = starts[threadIdx.x];
  for (int64_t k = begin; k < end; ++k) {
    first[k] = own.members;
    if (totals[k] == 0) empty[own.empty++] = static_cast<int32_t>(k);
    own.members += totals[k];
  }
}

/// A warp takes a stretch in its order, 32 points at a time; `tallies` are now members of the stretches before.
__global__ void __launch_bounds__(warp_threads) place_members(const NearestKey* keys, int64_t n, int64_t stretch, int64_t count, const int64_t* first, int32_t* tallies, int32_t* members) {
  __shared__ int32_t labels[warp_threads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * stretch, end = begin + stretch < n ? begin + stretch : n;
  const int lane = static_cast<int>(threadIdx.x);
  for (int64_t from = begin; from < end; from += warp_threads) {
    const int32_t label = from + lane < end ? static_cast<int32_t>(centroid_of(keys[from + lane])) : -1;
    labels[lane] = label;
    __syncthreads();
    int before = 0, behind = 0;
    for (int l = 0; l < warp_threads; ++l) {
      before += l < lane && labels[l] == label;
      behind += l > lane && labels[l] == label;
    }
    int32_t* tally = tallies + blockIdx.x * count + (label < 0 ? 0 : label);
    const int32_t place = *tally + before;
    if (label >= 0) members[first[label] + place] = static_cast<int32_t>(from + lane);
    __syncthreads();
    if (label >= 0 && behind == 0) *tally = place + 1;
    __syncthreads();
  }
}

/// A warp takes a centroid to the mean of its members: 32 of them are brought to shared memory, a lane then adds those of its coordinates one after the other.
__global__ void __launch_bounds__(warp_threads) move_to_means(const float* points, const float* weights, const int32_t* members, const int64_t* first, int64_t length, float* centroids) {
  __shared__ float x[warp_threads][longest + 1], w[warp_threads];
  const int64_t k = blockIdx.x, begin = first[k], end = first[k + 1];
  const int lane = static_cast<int>(threadIdx.x);
  double weight = 0, sums[2] = {0, 0};
  for (int64_t from = begin; from < end; from += warp_threads) {
    const int m = static_cast<int>(end - from < warp_threads ? end - from : warp_threads);
    if (lane < m) {
      const int64_t i = members[from + lane];
      w[lane] = weights[i];
      for (int64_t c = 0; c < length; ++c) x[lane][c] = points[i * length + c];
    }
    __syncthreads();
    for (int i = 0; i < m; ++i) {
      const double one = w[i];
      weight += one;
      if (lane < length) sums[0] += one * static_cast<double>(x[i][lane]);
      if (lane + warp_threads < length) sums[1] += one * static_cast<double>(x[i][lane + warp_threads]);
    }
    __syncthreads();
  }
  if (!(weight > 0)) return;
  for (int half = 0; half < 2; ++half)
    if (const int64_t c = lane + half * warp_threads; c < length) centroids[k * length + c] = static_cast<float>(sums[half] / weight);
}

struct LargerKey {
  __device__ NearestKey operator()(NearestKey a, NearestKey b) const { return a > b ? a : b; }
};

/// The key of the largest error that is above 0, the first of equals; 0: there is none.
__global__ void __launch_bounds__(block_threads) find_worst(const float* errors, int64_t n, NearestKey* worst) {
  __shared__ NearestKey shared[block_threads / warp_threads];
  NearestKey own = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < n; i += static_cast<int64_t>(gridDim.x) * block_threads) {
    const NearestKey key = static_cast<NearestKey>(bits_of(errors[i])) << 32 | static_cast<uint32_t>(n - 1 - i);
    if (errors[i] > 0 && key > own) own = key;
  }
  own = over_block(own, shared, LargerKey{});
  if (threadIdx.x == 0 && own != 0) atomicMax(worst, own);
}

struct Lloyd {
  Context& context;
  const float *points, *weights;
  int64_t n;
  const KmeansSettings& settings;
  float* centroids;
  int64_t stretch, n_stretches;
  Scratch<float> errors, before;
  Scratch<double> sums;
  Scratch<NearestKey> keys, worst;
  Scratch<int32_t> tallies, members, empty;
  Scratch<int64_t> totals, first, n_empty;

  bool assign(double& error);
  void move();
  void go_back();
};

void copy_floats(Context& context, const float* from, int64_t n, float* to) {
  for_each(context, n, [=] __device__(int64_t i) { to[i] = from[i]; });
}

void start(Context& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, float* centroids, float* errors, double* sums) {
  const int64_t n_tiles = kmeans_tiles(n);
  const Scratch<int64_t> place = context.scratch<int64_t>(1);
  KmeansRandom random(settings.seed);
  launch(context, static_cast<unsigned>(n_tiles), block_threads, 0, weigh_points, weights, n, errors, sums);
  for (int64_t k = 0; k < settings.count; ++k) {
    if (k % launches_a_step == 0) context.step();
    float* centroid = centroids + k * settings.length;
    launch(context, 1, 1, 0, draw_centroid, random.next(), errors, n, sums, n_tiles, points, settings.length, centroid, place.data());
    launch(context, static_cast<unsigned>(n_tiles), block_threads, 0, lower_errors, points, weights, n, settings.length, centroid, place.data(), k == 0, errors, sums);
  }
}

bool Lloyd::assign(double& error) {
  context.step();
  forget_nearest(context, keys.data(), n);
  find_nearest(context, ManyPoints{points, settings.length}, n, centroids, settings.count, settings.length, keys.data());
  const int64_t n_tiles = kmeans_tiles(n);
  launch(context, static_cast<unsigned>(n_tiles), block_threads, 0, weigh_errors, keys.data(), weights, n, errors.data(), sums.data());
  std::vector<double> of_tiles(static_cast<size_t>(n_tiles));
  context.read(of_tiles.data(), sums.data(), n_tiles * static_cast<int64_t>(sizeof(double)));
  error = sum_in_order(of_tiles.data(), n_tiles);
  return true;
}

void Lloyd::go_back() { copy_floats(context, before.data(), settings.count * settings.length, centroids); }

/// The e-th centroid without members moves to the point with the largest error, and that point is done.
void move_to_worst(Context& context, const float* points, int64_t n, int64_t length, const int32_t* empty, float* errors, NearestKey* worst, float* centroids) {
  context.clear(worst, sizeof(NearestKey));
  const int64_t blocks = std::min<int64_t>(1024, (n + block_threads - 1) / block_threads);
  launch(context, static_cast<unsigned>(blocks), block_threads, 0, find_worst, errors, n, worst);
  for_each(context, 1, [=] __device__(int64_t) {
    if (*worst == 0) return;
    const int64_t i = n - 1 - centroid_of(*worst);
    for (int64_t c = 0; c < length; ++c) centroids[*empty * length + c] = points[i * length + c];
    errors[i] = 0;
  });
}

/// tallies of every stretch ← those of the stretches before it, and the sum of all.
void scan_stretches(Context& context, int64_t n_stretches, int64_t count, int32_t* tallies, int64_t* totals) {
  for_each(context, count, [=] __device__(int64_t k) {
    int32_t sum = 0;
    for (int64_t s = 0; s < n_stretches; ++s) {
      const int32_t own = tallies[s * count + k];
      tallies[s * count + k] = sum;
      sum += own;
    }
    totals[k] = sum;
  });
}

void Lloyd::move() {
  const int64_t count = settings.count, length = settings.length;
  const auto stretches = static_cast<unsigned>(n_stretches);
  copy_floats(context, centroids, count * length, before.data());
  context.clear(tallies.data(), n_stretches * count * static_cast<int64_t>(sizeof(int32_t)));
  launch(context, stretches, block_threads, 0, tally_members, keys.data(), n, stretch, count, tallies.data());
  scan_stretches(context, n_stretches, count, tallies.data(), totals.data());
  launch(context, 1, block_threads, 0, place_centroids, totals.data(), count, first.data(), n_empty.data(), empty.data());
  launch(context, stretches, warp_threads, 0, place_members, keys.data(), n, stretch, count, first.data(), tallies.data(), members.data());
  launch(context, static_cast<unsigned>(count), warp_threads, 0, move_to_means, points, weights, members.data(), first.data(), length, centroids);
  int64_t n_moved = 0;
  context.read(&n_moved, n_empty.data(), sizeof n_moved);
  for (int64_t e = 0; e < std::min(n_moved, n); ++e) {
    if (e % launches_a_step == 0) context.step();
    move_to_worst(context, points, n, length, empty.data() + e, errors.data(), worst.data(), centroids);
  }
}

/// Points that all weigh nothing weigh 1 each.
void lift_weights(Context& context, const float* given, int64_t n, float* weights) {
  const Scratch<int32_t> flag = context.scratch<int32_t>(1);
  int32_t* weighs = flag.data();
  context.clear(weighs, sizeof(int32_t));
  for_each(context, n, [=] __device__(int64_t i) {
    if (given[i] > 0) raise_flag(weighs);
  });
  for_each(context, n, [=] __device__(int64_t i) { weights[i] = *weighs != 0 ? given[i] : 1.0f; });
}

}  // namespace

void weighted_kmeans(Context& context, const float* points, const float* given, int64_t n, const KmeansSettings& settings, float* centroids, std::vector<double>& objective) {
  const int64_t count = settings.count, size = count * settings.length;
  context.clear(centroids, size * static_cast<int64_t>(sizeof(float)));
  // A stretch for a warp: enough of them for a device, and their tallies in 64 MB.
  const int64_t wanted = std::max<int64_t>(1, std::min<int64_t>({1024, most_tallies / count, (n + warp_threads - 1) / warp_threads}));
  const int64_t stretch = (n + wanted - 1) / wanted, n_stretches = (n + stretch - 1) / stretch;
  const Scratch<float> weights = context.scratch<float>(n);
  lift_weights(context, given, n, weights.data());
  Lloyd lloyd{context,
              points,
              weights.data(),
              n,
              settings,
              centroids,
              stretch,
              n_stretches,
              context.scratch<float>(n),
              context.scratch<float>(size),
              context.scratch<double>(kmeans_tiles(n)),
              context.scratch<NearestKey>(n),
              context.scratch<NearestKey>(1),
              context.scratch<int32_t>(n_stretches * count),
              context.scratch<int32_t>(n),
              context.scratch<int32_t>(count),
              context.scratch<int64_t>(count),
              context.scratch<int64_t>(count + 1),
              context.scratch<int64_t>(1)};
  start(context, points, weights.data(), n, settings, centroids, lloyd.errors.data(), lloyd.sums.data());
  lloyd_iterations(lloyd, settings, objective);
}

}  // namespace bitwright::cuda
