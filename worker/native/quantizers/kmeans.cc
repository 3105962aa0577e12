// k-means of weighted points: Σ_i w_i ‖x_i - c_label(i)‖² made small, by Lloyd's iterations (Lloyd 1982) from a k-means++ start (Arthur and Vassilvitskii 2007).
//
//   start       the first centroid is a point drawn by its weight, every further one a point drawn by w_i ‖x_i - nearest centroid‖², w_i here rounded to a power of two
//   iteration   every point to its nearest centroid, every centroid to the weighted mean of its points; one without points to the point with the largest error
//   end         after `iterations`, or when one has gained less than `tolerance` of the error
//
// Both steps and the move of an empty centroid only lower the error. Draws come from splitmix64 of the seed, sums are double and over tiles of fixed size or over the
// points of a centroid in their order: the same bytes at any thread count. Points that weigh nothing draw no centroid; if all weigh nothing, all weigh the same.
// Cost: (1 + iterations) · n · count · length multiply-adds.
#include "quantizers/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/vector-math.h"

namespace bitwright {
namespace {

constexpr int64_t lanes = 16, tile = kmeans_tile;

BITWRIGHT_VECTOR void nearest_points(const float* points, int64_t n, int64_t length, int64_t used, const float* blocks, int64_t n_blocks, int32_t* labels, float* distances) {
  for (int64_t i = 0; i < n; ++i) {
    const float* x = points + i * length;
    float least[lanes];
    int32_t at[lanes];
    for (int64_t l = 0; l < lanes; ++l) {
      least[l] = std::numeric_limits<float>::infinity();
      at[l] = 0;
    }
    for (int64_t b = 0; b < n_blocks; ++b) {
      const float* block = blocks + b * length * lanes;
      float sums[lanes] = {};
      for (int64_t c = 0; c < used; ++c)
        for (int64_t l = 0; l < lanes; ++l) {
          const float difference = x[c] - block[c * lanes + l];
          sums[l] += difference * difference;
        }
      for (int64_t l = 0; l < lanes; ++l) {
        const bool nearer = sums[l] < least[l];
        least[l] = nearer ? sums[l] : least[l];
        at[l] = nearer ? static_cast<int32_t>(b * lanes + l) : at[l];
      }
    }
    int64_t best = 0;
    for (int64_t l = 1; l < lanes; ++l)
      if (least[l] < least[best] || (least[l] == least[best] && at[l] < at[best])) best = l;
    labels[i] = at[best];
    distances[i] = least[best];
  }
}

/// errors[i] = min(errors[i], weights[i] · ‖x_i - c‖²).
BITWRIGHT_VECTOR void lower_errors(const float* points, const float* weights, int64_t n, int64_t length, const float* c, float* errors) {
  for (int64_t i = 0; i < n; ++i) {
    const float error = weighted_distance(points + i * length, c, length, weights[i]);
    errors[i] = error < errors[i] ? error : errors[i];
  }
}

bool start(RunContext& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, float* centroids) {
  const int64_t length = settings.length;
  KmeansRandom random(settings.seed);
  std::vector<float> drawing(static_cast<size_t>(n));
  std::vector<double> sums(static_cast<size_t>(kmeans_tiles(n)));
  context.pool.parallel_chunks(n, tile, [&](int64_t begin, int64_t end) {
    std::transform(weights + begin, weights + end, drawing.data() + begin, drawing_weight);
    sums[static_cast<size_t>(begin / tile)] = sum_in_order(drawing.data() + begin, end - begin);
  });
  std::vector<float> errors = drawing;
  for (int64_t k = 0; k < settings.count; ++k) {
    if (context.cancelled()) return false;
    const int64_t chosen = drawn_point(random.next(), errors.data(), n, sums.data(), kmeans_tiles(n));
    // Every point that weighs anything is a centroid already: the rest stay at zero and are no point's.
    if (chosen < 0) return true;
    std::copy_n(points + chosen * length, length, centroids + k * length);
    if (k == 0) std::fill(errors.begin(), errors.end(), std::numeric_limits<float>::infinity());
    context.pool.parallel_chunks(n, tile, [&](int64_t begin, int64_t end) {
      lower_errors(points + begin * length, drawing.data() + begin, end - begin, length, centroids + k * length, errors.data() + begin);
      sums[static_cast<size_t>(begin / tile)] = sum_in_order(errors.data() + begin, end - begin);
    });
  }
  return true;
}

/// Centroids to the means of their points; `errors` are those of the points before.
void move_centroids(RunContext& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, const std::vector<int32_t>& labels, const std::vector<float>& errors, float* centroids) {
  const int64_t count = settings.count, length = settings.length;
  std::vector<int64_t> first(static_cast<size_t>(count + 1)), place;
  std::vector<int64_t> members(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) ++first[static_cast<size_t>(labels[static_cast<size_t>(i)]) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  place = first;
  for (int64_t i = 0; i < n; ++i) members[static_cast<size_t>(place[static_cast<size_t>(labels[static_cast<size_t>(i)])]++)] = i;
  context.pool.parallel_chunks(count, 16, [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(length));
    for (int64_t k = begin; k < end; ++k) {
      double weight = 0;
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t m = first[static_cast<size_t>(k)]; m < first[static_cast<size_t>(k) + 1]; ++m) {
        const int64_t i = members[static_cast<size_t>(m)];
        weight += static_cast<double>(weights[i]);
        for (int64_t c = 0; c < length; ++c) sums[static_cast<size_t>(c)] += static_cast<double>(weights[i]) * static_cast<double>(points[i * length + c]);
      }
      if (weight > 0)
        for (int64_t c = 0; c < length; ++c) centroids[k * length + c] = static_cast<float>(sums[static_cast<size_t>(c)] / weight);
    }
  });
  std::vector<int64_t> empty;
  for (int64_t k = 0; k < count; ++k)
    if (first[static_cast<size_t>(k)] == first[static_cast<size_t>(k) + 1]) empty.push_back(k);
  if (empty.empty()) return;
  const auto n_moved = static_cast<int64_t>(std::min(empty.size(), static_cast<size_t>(n)));
  std::iota(members.begin(), members.end(), 0);
  std::partial_sort(members.begin(), members.begin() + n_moved, members.end(), [&](int64_t a, int64_t b) {
    const float of_a = errors[static_cast<size_t>(a)], of_b = errors[static_cast<size_t>(b)];
    return of_a > of_b || (of_a == of_b && a < b);
  });
  for (int64_t m = 0; m < n_moved; ++m)
    if (const int64_t i = members[static_cast<size_t>(m)]; errors[static_cast<size_t>(i)] > 0) std::copy_n(points + i * length, length, centroids + empty[static_cast<size_t>(m)] * length);
}

}  // namespace

Codebook::Codebook(const float* values, int64_t count, int64_t length) : n_blocks_((count + lanes - 1) / lanes), length_(length) {
  blocks_.assign(static_cast<size_t>(n_blocks_ * lanes * length), std::numeric_limits<float>::infinity());
  for (int64_t k = 0; k < count; ++k)
    for (int64_t c = 0; c < length; ++c) blocks_[static_cast<size_t>((k / lanes * length + c) * lanes + k % lanes)] = values[k * length + c];
}

void Codebook::nearest(const float* points, int64_t n, int64_t used, int32_t* labels, float* distances) const {
  nearest_points(points, n, length_, used, blocks_.data(), n_blocks_, labels, distances);
}

bool weighted_kmeans(RunContext& context, const float* points, const float* given, int64_t n, const KmeansSettings& settings, std::vector<float>& centroids, std::vector<double>& objective) {
  centroids.assign(static_cast<size_t>(settings.count * settings.length), 0.0f);
  objective.clear();
  const bool weightless = std::none_of(given, given + n, [](float weight) { return weight > 0; });
  const std::vector<float> ones(static_cast<size_t>(weightless ? n : 0), 1.0f);
  const float* weights = weightless ? ones.data() : given;
  if (!start(context, points, weights, n, settings, centroids.data())) return false;
  struct OnPool {
    RunContext& context;
    const float *points, *weights;
    int64_t n;
    const KmeansSettings& settings;
    std::vector<float>& centroids;
    std::vector<int32_t> labels;
    std::vector<float> errors, before;
    std::vector<double> sums;

    bool assign(double& error) {
      if (context.cancelled()) return false;
      const Codebook codebook(centroids.data(), settings.count, settings.length);
      context.pool.parallel_chunks(n, tile, [&](int64_t begin, int64_t end) {
        codebook.nearest(points + begin * settings.length, end - begin, settings.length, labels.data() + begin, errors.data() + begin);
        for (int64_t i = begin; i < end; ++i) errors[static_cast<size_t>(i)] *= weights[i];
        sums[static_cast<size_t>(begin / tile)] = sum_in_order(errors.data() + begin, end - begin);
      });
      error = sum_in_order(sums.data(), static_cast<int64_t>(sums.size()));
      return true;
    }
    void go_back() { centroids = before; }
    void move() {
      before = centroids;
      move_centroids(context, points, weights, n, settings, labels, errors, centroids.data());
    }
  } pool{context, points, weights, n, settings, centroids, std::vector<int32_t>(static_cast<size_t>(n)), std::vector<float>(static_cast<size_t>(n)), {}, std::vector<double>(static_cast<size_t>(kmeans_tiles(n)))};
  return lloyd_iterations(pool, settings, objective);
}

}  // namespace bitwright
