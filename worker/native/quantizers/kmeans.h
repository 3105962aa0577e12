// k-means of weighted points, for codebooks of vectors: Lloyd's iterations from a k-means++ start. See kmeans.cc.
#pragma once
#include <cstdint>
#include <vector>

#include "core/operation.h"

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

/// points [n × length], weights [n] of at least 0 → centroids [count × length] and the weighted squared error of the start and after each iteration that was
/// made. False: cancelled.
bool weighted_kmeans(RunContext& context, const float* points, const float* weights, int64_t n, const KmeansSettings& settings, std::vector<float>& centroids, std::vector<double>& objective);

}  // namespace bitwright
