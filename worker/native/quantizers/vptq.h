// VPTQ's sizes and the arithmetic of one weight, for both backends. Legend in vptq.cc.
#pragma once
#include <cmath>
#include <string>

#include "core/operation.h"
#include "quantizers/grid.h"

namespace bitwright {

inline constexpr int64_t vptq_outlier_length = 4;

struct VptqSettings {
  int64_t O, I, length, count, res_count, groups, outliers, outlier_count, iterations, block_size;
  double tolerance;
  uint64_t seed;
  bool norm, stores_order;
  int64_t group_size() const { return (I - outliers) / groups; }
  int64_t vectors(int64_t of_length) const { return (O + of_length - 1) / of_length; }
  int64_t n_books() const { return groups * (res_count > 0 ? 2 : 1) + (outliers > 0 ? 1 : 0); }
  /// Groups are counted from 0 to groups - 1, and the outliers come behind them.
  int64_t group_of(int64_t place) const { return place < outliers ? groups : (place - outliers) / group_size(); }
  int64_t length_in(int64_t group) const { return group < groups ? length : vptq_outlier_length; }
  /// Of an index of the first codebook.
  int64_t bits() const {
    int64_t bits = 0;
    while (int64_t{1} << bits < count) ++bits;
    return bits;
  }
  /// Rows that a thread takes: whole vectors of both lengths.
  int64_t tile() const {
    const int64_t common = length % vptq_outlier_length == 0 ? length : length % 2 == 0 ? 2 * length : vptq_outlier_length * length;
    return (64 + common - 1) / common * common;
  }
};

inline bool is_codebook_size(int64_t count) { return count >= 1 && count <= 65536 && (count & (count - 1)) == 0; }

inline Status read_settings(const Options& options, const Shape& shape, VptqSettings& s) {
  s = {shape[0], shape[1], options.integer("vector_len"), options.integer("num_centroids"), options.integer("num_res_centroids"), options.integer("group_num", 1),
       options.integer("outlier_size"), options.integer("outlier_num_centroids", 1), options.integer("kiter", 100), options.integer("block_size", 128),
       options.number("ktol", 1e-5), static_cast<uint64_t>(options.integer("kseed")), options.flag("enable_norm"), options.flag("stores_order")};
  const auto number = [](int64_t value) { return std::to_string(value); };
  if (s.O < 1 || s.I < 1) return Status::error("the weight has no element");
  if (s.length < 1 || s.length > 64) return Status::error("a vector_len of " + number(s.length) + " is not between 1 and 64");
  if (!is_codebook_size(s.count) || (s.res_count != 0 && !is_codebook_size(s.res_count)) || !is_codebook_size(s.outlier_count)) return Status::error("num_centroids " + number(s.count) + ", num_res_centroids " + number(s.res_count) + " and outlier_num_centroids " + number(s.outlier_count) + " are not all powers of two up to 65536");
  if (s.res_count > s.count) return Status::error("num_res_centroids " + number(s.res_count) + " is above num_centroids " + number(s.count));
  if (s.outliers < 0 || s.outliers >= s.I) return Status::error("outlier_size " + number(s.outliers) + " is not between 0 and the columns less one, " + number(s.I - 1));
  if (s.groups < 1 || (s.I - s.outliers) % s.groups != 0) return Status::error(number(s.I - s.outliers) + " columns are not a multiple of group_num " + number(s.groups));
  if (s.block_size < 1 || s.iterations < 0 || s.iterations > 10000 || !(s.tolerance >= 0)) return Status::error("block_size, kiter or ktol is out of its range");
  return Status::fine();
}

inline constexpr const char* vptq_unbounded = "the error of a column grew over all bounds: the factor is not finite, or the Hessian is not that of this weight";

/// What a column's weights count for in the k-means. `diagonal` of H, or null.
BITWRIGHT_PORTABLE inline double vptq_importance(const float* diagonal, float scale, int64_t column) {
  const double s = scale;
  return (diagonal == nullptr ? 1.0 : static_cast<double>(diagonal[column])) * s * s;
}

/// A weight as the codebooks see it. A column whose weights are all the same has scale 0: its bias alone is read, whatever the centroid.
BITWRIGHT_PORTABLE inline float vptq_normal(float w, float scale, float bias) { return scale == 0 ? 0.0f : (w - bias) / scale; }

/// What a reader makes of a centroid's value. T: the dtype of the weight.
template <class T>
BITWRIGHT_PORTABLE inline float vptq_read(float value, float scale, float bias, bool norm) {
  return norm ? rounded_to<T>(rounded_to<T>(value * scale) + bias) : value;
}

}  // namespace bitwright
