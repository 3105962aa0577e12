// k-means of weighted points, for codebooks of vectors: Lloyd's iterations from a k-means++ start. Legend in kmeans.cc; what both backends do alike, in one order, stands here.
#pragma once
#include <cstdint>
#include <vector>

#include "core/operation.h"
#include "core/portable.h"

namespace bitwright {

/// Centroids as the search wants them: blocks of 16, within a block coordinate by coordinate; what fills the last block is infinitely far.
class Codebook {
 public:
  Codebook() = default;
  /// `values` [count × length].
  Codebook(const float* values, int64_t count, int64_t length);
  /// Nearest centroid (the first of equals) of each of n points [n × length] over its first `used` coordinates; `distances` squared.
  void nearest(const float* points, int64_t n, int64_t used, int32_t* labels, float* distances) const;

 private:
  int64_t n_blocks_ = 0, length_ = 0;
  std::vector<float> blocks_;
};

struct KmeansSettings {
  int64_t count, length, iterations;
  double tolerance;
  uint64_t seed;
};

/// Points whose errors are summed one after the other; the sums of these tiles likewise.
inline constexpr int64_t kmeans_tile = 4096;
inline int64_t kmeans_tiles(int64_t n) { return (n + kmeans_tile - 1) / kmeans_tile; }

class KmeansRandom {
 public:
  explicit KmeansRandom(uint64_t seed) : state_(seed) {}
  /// In [0, 1), 53 bits: splitmix64 (Steele, Lea and Flood 2014).
  double next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

template <class Value>
BITWRIGHT_PORTABLE inline double sum_in_order(const Value* values, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

/// What a point's weight counts for where points are drawn: the power of two next to it, between 2/3 and 4/3 of it. A draw follows sums over all points, and so the last bit of any of them; weights from
/// a Hessian that was summed in another order would draw other points nearly always, and so do only where one of them lies at the middle of two powers.
BITWRIGHT_PORTABLE inline float drawing_weight(float weight) { return float_of((bits_of(weight) + 0x00400000u) & 0x7f800000u); }

/// An index drawn with a chance in proportion to `values`, whose tiles have these sums; -1 where all are zero. `random` in [0, 1).
BITWRIGHT_PORTABLE inline int64_t drawn_point(double random, const float* values, int64_t n, const double* sums, int64_t n_tiles) {
  double left = random * sum_in_order(sums, n_tiles);
  int64_t chosen_tile = -1, chosen = -1;
  for (int64_t t = 0; t < n_tiles; ++t) {
    if (!(sums[t] > 0)) continue;
    chosen_tile = t;
    if (left < sums[t]) break;
    left -= sums[t];
  }
  if (chosen_tile < 0) return -1;
  const int64_t end = (chosen_tile + 1) * kmeans_tile < n ? (chosen_tile + 1) * kmeans_tile : n;
  for (int64_t i = chosen_tile * kmeans_tile; i < end; ++i) {
    if (!(values[i] > 0)) continue;
    chosen = i;
    left -= static_cast<double>(values[i]);
    if (left < 0) break;
  }
  return chosen;
}

/// w ‖x - c‖² in F32, coordinate by coordinate.
BITWRIGHT_PORTABLE inline float weighted_distance(const float* x, const float* c, int64_t length, float weight) {
  float sum = 0;
  for (int64_t k = 0; k < length; ++k) {
    const float difference = x[k] - c[k];
    sum += difference * difference;
  }
  return weight * sum;
}

/// The iterations, with what a backend has for them: assign (points to their nearest centroids; the error, or false: cancelled), move (centroids to the means, what they were is kept), go_back.
template <class Backend>
bool lloyd_iterations(Backend& backend, const KmeansSettings& settings, std::vector<double>& objective) {
  objective.clear();
  for (int64_t iteration = 0;; ++iteration) {
    double error = 0;
    if (!backend.assign(error)) return false;
    // An error that rounding has raised by its last places is none that is gone back to.
    if (!objective.empty() && !(error < objective.back())) {
      backend.go_back();
      return true;
    }
    const bool enough = !objective.empty() && objective.back() - error < settings.tolerance * objective.back();
    objective.push_back(error);
    if (enough || error == 0 || iteration == settings.iterations) return true;
    backend.move();
  }
}

/// points [n × length], weights [n] of at least 0 → centroids [count × length] and the weighted squared error of the start and after each iteration that was
/// made. False: cancelled.
bool weighted_kmeans(RunContext& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, std::vector<float>& centroids, std::vector<double>& objective);

}  // namespace bitwright
