// VPTQ's stream of indices and the weights that it stands for, one word or one weight at a time, for both backends. Legend in vptq.cc.
#pragma once
#include <string>

#include "core/operation.h"
#include "quantizers/grid.h"

namespace bitwright {

inline int64_t index_bits(int64_t count) {
  int64_t bits = 0;
  while (int64_t{1} << bits < count) ++bits;
  return bits;
}

struct VptqLayout {
  int64_t rows, columns, length, count, res_count, outlier_length, outliers, groups, bits;
  BITWRIGHT_PORTABLE int64_t group_size() const { return (columns - outliers) / groups; }
  BITWRIGHT_PORTABLE int64_t vectors() const { return (rows + length - 1) / length; }
  int64_t outlier_vectors() const { return (rows + outlier_length - 1) / outlier_length; }
  BITWRIGHT_PORTABLE int64_t words() const { return (group_size() * bits + 31) / 32; }
};

inline Status read_layout(const Specs& in, const Options& options, VptqLayout& s) {
  const auto refuse = [&] { return mismatch("packed indices I32, codebooks in a weight dtype, outliers, perm I32, scale and bias that fit rows, columns and vector_len", in); };
  if (in.size() != 8 || !in[0].present || !in[1].present || in[0].dtype != DType::I32 || in[0].shape.size() != 3 || !is_weight(in[1].dtype) || in[1].shape.size() != 2 || in[0].shape[0] < 1) return refuse();
  s = {options.integer("rows"), options.integer("columns"), options.integer("vector_len"), 0, 0, options.integer("outlier_vector_len", 4), in[3].present && in[3].shape.size() == 3 ? in[3].shape[2] : 0, in[0].shape[0], 0};
  if (s.rows < 1 || s.columns < 1 || s.length < 1 || s.outlier_length < 1 || s.outliers >= s.columns || (s.columns - s.outliers) % s.groups != 0 || in[1].shape[0] != s.groups || in[1].shape[1] % s.length != 0) return refuse();
  s.count = in[1].shape[1] / s.length;
  const bool has_res = in[2].present;
  if (has_res && (in[2].dtype != in[1].dtype || in[2].shape.size() != 2 || in[2].shape[0] != s.groups || in[2].shape[1] % s.length != 0)) return refuse();
  s.res_count = has_res ? in[2].shape[1] / s.length : 0;
  if (s.count < 1 || s.count > 65536 || s.res_count > s.count || (has_res && s.res_count < 1)) return refuse();
  s.bits = index_bits(s.count) + index_bits(s.res_count);
  const bool outliers_fit = !in[3].present ? !in[4].present
                                           : in[3].dtype == DType::I32 && in[3].shape == Shape{1, s.outlier_vectors(), s.outliers} && in[4].present && in[4].dtype == in[1].dtype && in[4].shape.size() == 2 &&
                                                 in[4].shape[0] == 1 && in[4].shape[1] >= s.outlier_length && in[4].shape[1] % s.outlier_length == 0;
  const auto per_column = [&](const TensorSpec& spec, DType dtype) { return !spec.present || (spec.dtype == dtype && spec.shape == Shape{s.columns}); };
  if (!outliers_fit || in[0].shape != Shape{s.groups, s.vectors(), s.words()} || !per_column(in[5], DType::I32) || !per_column(in[6], in[1].dtype) || !per_column(in[7], in[1].dtype) || in[6].present != in[7].present) return refuse();
  return Status::fine();
}

/// Word `word` of a stream of n indices; bits behind the last one are 0.
BITWRIGHT_PORTABLE inline uint32_t vptq_word(const uint32_t* indices, int64_t n, int64_t bits, int64_t word) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t value = 0;
  for (int64_t i = word * 32 / bits; i < n && i * bits < word * 32 + 32; ++i) {
    const int64_t at = i * bits - word * 32;
    const uint64_t index = indices[i] & mask;
    value |= at < 0 ? index >> -at : index << at;
  }
  return static_cast<uint32_t>(value);
}

inline std::string vptq_no_centroid(int64_t index) { return "the index " + std::to_string(index) + " stands for no centroid"; }

/// The tensors of vptq_values. T: the dtype of the codebooks.
template <class T>
class VptqFile {
 public:
  using Stored = typename T::Stored;
  VptqFile(const VptqLayout& layout, const Views& in)
      : s_(layout), low_(index_bits(layout.count)), n_outlier_centroids_(in[4].present ? in[4].extent(1) / layout.outlier_length : 0), packed_(in[0].as<uint32_t>()), centroids_(in[1].as<Stored>()),
        res_centroids_(in[2].as<Stored>()), outlier_indices_(in[3].as<int32_t>()), outlier_centroids_(in[4].as<Stored>()), perm_(in[5].present ? in[5].as<int32_t>() : nullptr),
        scale_(in[6].present ? in[6].as<Stored>() : nullptr), bias_(in[7].as<Stored>()) {}

  BITWRIGHT_PORTABLE int64_t column_of(int64_t place) const { return perm_ != nullptr ? perm_[place] : place; }

  /// The weight at `row` of the place p, whose column is given. What is answered is an index without a centroid, else -1.
  BITWRIGHT_PORTABLE int64_t value(int64_t row, int64_t p, int64_t column, float& value) const {
    if (p < s_.outliers) {
      const int64_t index = outlier_indices_[row / s_.outlier_length * s_.outliers + p];
      // Below zero it is as unknown as above, and told as the unsigned number that the file holds.
      if (index < 0 || index >= n_outlier_centroids_) return index & 0xffffffff;
      value = T::load(outlier_centroids_[index * s_.outlier_length + row % s_.outlier_length]);
    } else {
      const int64_t group = (p - s_.outliers) / s_.group_size(), at = (p - s_.outliers) % s_.group_size() * s_.bits;
      const uint32_t* words = packed_ + (group * s_.vectors() + row / s_.length) * s_.words();
      uint64_t held = s_.bits == 0 ? 0 : words[at / 32];
      if (at % 32 + s_.bits > 32) held |= static_cast<uint64_t>(words[at / 32 + 1]) << 32;
      const uint64_t both = held >> at % 32 & ((uint64_t{1} << s_.bits) - 1);
      const auto index = static_cast<int64_t>(both & ((uint64_t{1} << low_) - 1)), second = static_cast<int64_t>(both >> low_);
      if (index >= s_.count) return index;
      if (s_.res_count > 0 && second >= s_.res_count) return second;
      value = T::load(centroids_[(group * s_.count + index) * s_.length + row % s_.length]);
      if (s_.res_count > 0) value = rounded_to<T>(value + T::load(res_centroids_[(group * s_.res_count + second) * s_.length + row % s_.length]));
    }
    if (scale_ != nullptr) value = rounded_to<T>(rounded_to<T>(value * T::load(scale_[column])) + T::load(bias_[column]));
    return -1;
  }

 private:
  VptqLayout s_;
  int64_t low_, n_outlier_centroids_;
  const uint32_t* packed_;
  const Stored *centroids_, *res_centroids_;
  const int32_t* outlier_indices_;
  const Stored* outlier_centroids_;
  const int32_t* perm_;
  const Stored *scale_, *bias_;
};

}  // namespace bitwright
