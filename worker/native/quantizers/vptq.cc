// VPTQ: vectors of neighbouring rows of a column become the index of a centroid; the columns are walked as GPTQ walks them, each error spread over those still free.
// Liu et al., "VPTQ: Extreme Low-bit Vector Post-Training Quantization for Large Language Models", arXiv 2409.17066 (algorithms 1 and 2).
//
//   paper   here                shape                meaning
//   W       Wt                  I × O                weights, kept transposed: a row for each input column, in the order of the walk
//   v       vector_len          –                    weights of a vector: rows i·v … i·v + v - 1 of one column; the last one is filled up with zeros
//   k       num_centroids       –                    entries of a codebook, log2 k bits for each vector
//   C       centroids           groups × k·v         one codebook for each of `group_num` groups of columns
//   C_res   res_centroids       groups × k_res·v     a second codebook for what the first leaves: Ŵ = C[i] + C_res[j]
//   –       outlier_…           1 × k_out·4          the first `outlier_size` columns of the order have a codebook of their own, of vectors of 4
//   H⁻¹     U                   I × I                upper factor of the damped inverse Hessian, see gptq.h; none: no error is spread
//   s, b    scale, bias         I                    each column is (w - b) / s before it meets a codebook: b its mean, s its standard deviation
//
//   1. k-means of the vectors (kmeans.cc), each weighed by h_jj s_j²                    → C
//   2. the walk: index = nearest centroid to (w - b) / s of every vector; E[:, j] = (W[:, j] - Ŵ[:, j]) / U[j, j]; W[:, j:] -= E[:, j] · U[j, j:]
//   3. with a second codebook: k-means of what the walk left of every vector → C_res, and the walk again from the beginning with both
//
//   quantize_vptq   weight [O, I], U F32 [I, I] or none, diag(H) F32 [I] or none, order I32 [I] or none →
//                   indices I32 [groups, ⌈O / v⌉, columns of a group] (that of C_res in the bits above those of C), centroids, scale, bias in the dtype of the weight,
//                   F64 [codebooks, kiter + 1] errors of the k-means (NaN behind the last), then res_centroids where num_res_centroids > 0, then
//                   I32 [1, ⌈O / 4⌉, outlier_size] and outlier_centroids where outlier_size > 0
//
// `stores_order`: groups and outliers are formed along the order, which the reader then needs (perm); else every column keeps its place and its group.
//
// Differences from the authors' code: the error is that of the value which a reader computes in the dtype of the weight, and it is spread before the scales divide it;
// b and s are mean and deviation where theirs are least and range, and s weighs in the k-means; the start is k-means++ where theirs is random; dead columns keep their
// weights. Codebooks are not trained afterwards.
// Cost: O · I · (k + k_res) multiply-adds for each iteration of the k-means and each walk, and GPTQ's I² · O for each walk.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/vector-math.h"
#include "quantizers/gptq-column.h"
#include "quantizers/grid.h"
#include "quantizers/kmeans.h"
#include "quantizers/quantizers.h"
#include "quantizers/solver-inputs.h"
#include "quantizers/vptq.h"

namespace bitwright {
namespace {

/// w[k] -= E · U[k], for `count` columns of a tile behind the one that left E.
BITWRIGHT_VECTOR void spread(float* w, int64_t count, int64_t rows, const float* E, const float* U) {
  for (int64_t k = 0; k < count; ++k)
    for (int64_t r = 0; r < rows; ++r) w[k * rows + r] -= E[r] * U[k];
}

/// Columns as the codebooks see them, and what a reader makes of a centroid. T: the dtype of the weight.
template <class T>
class Vptq {
 public:
  Vptq(RunContext& context, const Views& in, const VptqSettings& settings) : context_(context), s_(settings), weight_(in[0]), order_(ints_or_null(in[3])) {
    U_ = in[1].present ? in[1].as<float>() : nullptr;
    diagonal_ = in[2].present ? in[2].as<float>() : nullptr;
  }

  /// Scale and bias of every column in the dtype of the weight; a sentence where a weight is no number.
  Status normalize() {
    scale_.assign(static_cast<size_t>(s_.I), 1.0f);
    bias_.assign(static_cast<size_t>(s_.I), 0.0f);
    std::vector<double> sums(static_cast<size_t>(s_.I)), squares(static_cast<size_t>(s_.I));
    context_.pool.parallel_chunks(s_.I, 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < s_.O; ++r)
        for (int64_t j = begin; j < end; ++j) sums[static_cast<size_t>(j)] += static_cast<double>(weight_.data()[r * s_.I + j]);
      for (int64_t r = 0; r < s_.O; ++r)
        for (int64_t j = begin; j < end; ++j) {
          const double centered = static_cast<double>(weight_.data()[r * s_.I + j]) - sums[static_cast<size_t>(j)] / static_cast<double>(s_.O);
          squares[static_cast<size_t>(j)] += centered * centered;
        }
    });
    for (int64_t j = 0; j < s_.I; ++j) {
      const auto at = static_cast<size_t>(j);
      if (!std::isfinite(squares[at])) return Status::error("column " + std::to_string(j) + " has a weight that is NaN or infinite");
      if (diagonal_ != nullptr && !(diagonal_[j] >= 0 && std::isfinite(diagonal_[j]))) return Status::error("diag(H) at column " + std::to_string(j) + " is " + std::to_string(diagonal_[j]));
      if (!s_.norm) continue;
      bias_[at] = rounded_to<T>(static_cast<float>(sums[at] / static_cast<double>(s_.O)));
      scale_[at] = rounded_to<T>(static_cast<float>(std::sqrt(squares[at] / static_cast<double>(s_.O))));
    }
    return Status::fine();
  }

  /// Columns from `first` in their places, cut into vectors: [columns × vectors × length], with what each weighs.
  void vectors_of(int64_t first, int64_t columns, int64_t length, std::vector<float>& points, std::vector<float>& weights) const {
    const int64_t n_vectors = s_.vectors(length);
    points.assign(static_cast<size_t>(columns * n_vectors * length), 0.0f);
    weights.assign(static_cast<size_t>(columns * n_vectors), 0.0f);
    double mean = 0;
    for (int64_t q = first; q < first + columns; ++q) mean += importance(column_in(q)) / static_cast<double>(columns);
    context_.pool.parallel_chunks(columns, 16, [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; ++q) {
        const int64_t column = column_in(first + q);
        for (int64_t r = 0; r < s_.O; ++r) points[static_cast<size_t>(q * n_vectors * length + r)] = normal(weight_.data()[r * s_.I + column], column);
        std::fill_n(weights.data() + q * n_vectors, n_vectors, mean > 0 ? static_cast<float>(importance(column) / mean) : 0.0f);
      }
    });
  }

  struct Books {
    /// In the dtype of the weight, for each group; the outliers' behind them.
    std::vector<std::vector<float>> main, residual;
  };

  /// Indices [I places × vectors] of both codebooks; `left` (or null): what the main codebook leaves of every vector, laid out as by vectors_of.
  bool walk(const Books& books, std::vector<int32_t>& indices, std::vector<int32_t>& residual_indices, std::vector<float>* left, std::vector<double>& loss) {
    std::vector<Codebook> main, residual;
    for (size_t g = 0; g < books.main.size(); ++g) main.emplace_back(books.main[g].data(), static_cast<int64_t>(books.main[g].size()) / length_in(static_cast<int64_t>(g)), length_in(static_cast<int64_t>(g)));
    for (const auto& values : books.residual) residual.emplace_back(values.data(), s_.res_count, s_.length);
    const int64_t rows = s_.tile(), n_tiles = (s_.O + rows - 1) / rows, padded = n_tiles * rows, most = std::max(s_.vectors(s_.length), s_.vectors(vptq_outlier_length));
    indices.assign(static_cast<size_t>(s_.I * most), 0);
    residual_indices.assign(static_cast<size_t>(s_.I * most), 0);
    loss.assign(static_cast<size_t>(n_tiles), 0.0);
    std::vector<float> Wt(static_cast<size_t>(s_.I * padded)), E(static_cast<size_t>(std::min(s_.block_size, s_.I) * padded));
    context_.pool.parallel_for(n_tiles, [&](int64_t t) {
      for (int64_t j = 0; j < s_.I; ++j)
        for (int64_t r = t * rows; r < std::min(s_.O, (t + 1) * rows); ++r) Wt[static_cast<size_t>(j * padded + r)] = weight_.data()[r * s_.I + column_at(order_, j)];
    });
    for (int64_t begin = 0; begin < s_.I; begin += s_.block_size) {
      if (context_.cancelled()) return false;
      const int64_t end = std::min(s_.I, begin + s_.block_size);
      context_.pool.parallel_for(n_tiles, [&](int64_t t) {
        const int64_t first_row = t * rows;
        std::vector<float> tile(static_cast<size_t>((end - begin) * rows)), points(static_cast<size_t>(rows)), distances(static_cast<size_t>(rows));
        std::vector<int32_t> found(static_cast<size_t>(rows));
        for (int64_t j = begin; j < end; ++j) std::copy_n(Wt.data() + j * padded + first_row, rows, tile.data() + (j - begin) * rows);
        for (int64_t j = begin; j < end; ++j) {
          const int64_t column = column_at(order_, j), place = s_.stores_order ? j : column, group = group_of(place), length = length_in(group);
          float *w = tile.data() + (j - begin) * rows, *error = E.data() + (j - begin) * padded + first_row;
          int32_t* own = indices.data() + place * most + first_row / length;
          const auto g = static_cast<size_t>(group);
          for (int64_t r = 0; r < rows; ++r) points[static_cast<size_t>(r)] = normal(w[r], column);
          choose(main[g], length, first_row, points.data(), found.data(), distances.data());
          const int64_t n = vectors_here(first_row, length);
          std::copy_n(found.data(), n, own);
          const bool both = group < s_.groups && !residual.empty();
          for (int64_t r = 0; r < n * length; ++r) points[static_cast<size_t>(r)] -= books.main[g][static_cast<size_t>(found[static_cast<size_t>(r / length)] * length + r % length)];
          if (left != nullptr && group < s_.groups)
            for (int64_t r = 0; r < n * length; ++r) (*left)[static_cast<size_t>((place - s_.outliers) * s_.vectors(length) * length + first_row + r)] = first_row + r < s_.O ? points[static_cast<size_t>(r)] : 0.0f;
          if (both) {
            choose(residual[g], length, first_row, points.data(), found.data(), distances.data());
            std::copy_n(found.data(), n, residual_indices.data() + place * most + first_row / length);
          }
          const float inverse = U_ == nullptr ? 1.0f : 1.0f / U_[j * s_.I + j];
          for (int64_t r = 0; r < rows; ++r) {
            error[r] = 0;
            if (first_row + r >= s_.O) continue;
            float value = books.main[g][static_cast<size_t>(own[r / length] * length + r % length)];
            if (both) value = rounded_to<T>(value + books.residual[g][static_cast<size_t>(found[static_cast<size_t>(r / length)] * length + r % length)]);
            error[r] = (w[r] - read(value, column)) * inverse;
            loss[static_cast<size_t>(t)] += 0.5 * static_cast<double>(error[r]) * static_cast<double>(error[r]);
          }
          if (U_ != nullptr) spread(w + rows, end - j - 1, rows, error, U_ + j * s_.I + j + 1);
        }
      });
      if (U_ != nullptr) gemm_tn(context_.pool, s_.I - end, padded, end - begin, -1.0f, U_ + begin * s_.I + end, s_.I, E.data(), padded, 1.0f, Wt.data() + end * padded, padded);
    }
    return true;
  }

  int64_t length_in(int64_t group) const { return s_.length_in(group); }
  int64_t group_of(int64_t place) const { return s_.group_of(place); }
  const std::vector<float>& scale() const { return scale_; }
  const std::vector<float>& bias() const { return bias_; }

 private:
  int64_t column_in(int64_t place) const { return s_.stores_order ? column_at(order_, place) : place; }
  double importance(int64_t column) const { return vptq_importance(diagonal_, scale_[static_cast<size_t>(column)], column); }
  float normal(float w, int64_t column) const { return vptq_normal(w, scale_[static_cast<size_t>(column)], bias_[static_cast<size_t>(column)]); }
  float read(float value, int64_t column) const { return vptq_read<T>(value, scale_[static_cast<size_t>(column)], bias_[static_cast<size_t>(column)], s_.norm); }
  int64_t vectors_here(int64_t first_row, int64_t length) const { return (std::min(s_.tile(), s_.O - first_row) + length - 1) / length; }
  /// Of the last vector only the rows that there are count.
  void choose(const Codebook& book, int64_t length, int64_t first_row, const float* points, int32_t* found, float* distances) const {
    const int64_t n = vectors_here(first_row, length), last = s_.O - first_row - (n - 1) * length;
    book.nearest(points, n - 1, length, found, distances);
    book.nearest(points + (n - 1) * length, 1, std::min(length, last), found + n - 1, distances + n - 1);
  }

  RunContext& context_;
  const VptqSettings& s_;
  FloatView weight_;
  const int32_t* order_;
  const float *U_, *diagonal_;
  std::vector<float> scale_, bias_;
};

template <class T>
void store(const std::vector<float>& values, const TensorView& out, int64_t begin) {
  for (size_t i = 0; i < values.size(); ++i) out.as<typename T::Stored>()[begin + static_cast<int64_t>(i)] = T::store(values[i]);
}

template <class T>
Status quantize(RunContext& context, const Views& in, const Views& out, const VptqSettings& s) {
  Vptq<T> vptq(context, in, s);
  if (Status status = vptq.normalize(); !status.ok()) return status;
  double* errors = out[4].as<double>();
  std::fill(errors, errors + out[4].count(), std::numeric_limits<double>::quiet_NaN());
  std::vector<float> points, weights;
  std::vector<double> objective;
  int64_t n_made = 0;
  /// The codebook of the points at hand, in the dtype of the weight.
  const auto codebook = [&](int64_t length, int64_t count, std::vector<float>& values) {
    const KmeansSettings kmeans{count, length, s.iterations, s.tolerance, s.seed + static_cast<uint64_t>(n_made)};
    if (!weighted_kmeans(context, points.data(), weights.data(), static_cast<int64_t>(weights.size()), kmeans, values, objective)) return false;
    for (float& value : values) value = rounded_to<T>(value);
    std::copy(objective.begin(), objective.end(), errors + n_made++ * (s.iterations + 1));
    return true;
  };
  typename Vptq<T>::Books books;
  books.main.resize(static_cast<size_t>(s.groups + (s.outliers > 0 ? 1 : 0)));
  for (int64_t g = 0; g < s.groups; ++g) {
    vptq.vectors_of(s.outliers + g * s.group_size(), s.group_size(), s.length, points, weights);
    if (!codebook(s.length, s.count, books.main[static_cast<size_t>(g)])) return Status::cancelled();
  }
  if (s.outliers > 0) {
    vptq.vectors_of(0, s.outliers, vptq_outlier_length, points, weights);
    if (!codebook(vptq_outlier_length, s.outlier_count, books.main.back())) return Status::cancelled();
  }
  std::vector<int32_t> indices, residual_indices;
  std::vector<float> left;
  std::vector<double> loss;
  if (s.res_count > 0) {
    const int64_t n_vectors = s.vectors(s.length), of_group = s.group_size() * n_vectors * s.length;
    left.resize(static_cast<size_t>(s.groups * of_group));
    if (!vptq.walk(books, indices, residual_indices, &left, loss)) return Status::cancelled();
    books.residual.resize(static_cast<size_t>(s.groups));
    for (int64_t g = 0; g < s.groups; ++g) {
      vptq.vectors_of(s.outliers + g * s.group_size(), s.group_size(), s.length, points, weights);
      points.assign(left.begin() + g * of_group, left.begin() + (g + 1) * of_group);
      if (!codebook(s.length, s.res_count, books.residual[static_cast<size_t>(g)])) return Status::cancelled();
    }
  }
  if (!vptq.walk(books, indices, residual_indices, nullptr, loss)) return Status::cancelled();
  for (const double tile : loss)
    if (!std::isfinite(tile)) return Status::error(vptq_unbounded);

  const int64_t bits = s.bits(), n_vectors = s.vectors(s.length), n_outlier_vectors = s.vectors(vptq_outlier_length), most = std::max(n_vectors, n_outlier_vectors);
  const int64_t outliers_at = s.res_count > 0 ? 6 : 5;
  for (int64_t place = 0; place < s.I; ++place) {
    const int64_t group = vptq.group_of(place), within = group == s.groups ? place : (place - s.outliers) % s.group_size();
    const int32_t *own = indices.data() + place * most, *second = residual_indices.data() + place * most;
    if (group == s.groups)
      for (int64_t i = 0; i < n_outlier_vectors; ++i) out[static_cast<size_t>(outliers_at)].template as<int32_t>()[i * s.outliers + within] = own[i];
    else
      for (int64_t i = 0; i < n_vectors; ++i) out[0].as<int32_t>()[(group * n_vectors + i) * s.group_size() + within] = static_cast<int32_t>(static_cast<uint32_t>(own[i]) | static_cast<uint32_t>(second[i]) << bits);
  }
  for (int64_t g = 0; g < s.groups; ++g) {
    store<T>(books.main[static_cast<size_t>(g)], out[1], g * s.count * s.length);
    if (s.res_count > 0) store<T>(books.residual[static_cast<size_t>(g)], out[5], g * s.res_count * s.length);
  }
  if (s.outliers > 0) store<T>(books.main.back(), out[static_cast<size_t>(outliers_at) + 1], 0);
  store<T>(vptq.scale(), out[2], 0);
  store<T>(vptq.bias(), out[3], 0);
  return Status::fine();
}

}  // namespace

Operation quantize_vptq_operation() {
  return {"quantize_vptq",
          [](const Specs& in, const Options& options, Specs& out) {
            const bool has_weight = in.size() == 4 && in[0].present && is_weight(in[0].dtype) && in[0].shape.size() == 2;
            const int64_t I = has_weight ? in[0].shape[1] : 0;
            if (!has_weight || (in[1].present && !is_square(in[1], I)) || !is_per_column(in[2], DType::F32, I) || !is_per_column(in[3], DType::I32, I)) return mismatch("weight [O, I], factor F32 [I, I] or none, diag(H) F32 [I] or none, order I32 [I] or none", in);
            VptqSettings s;
            if (Status status = read_settings(options, in[0].shape, s); !status.ok()) return status;
            const DType dtype = in[0].dtype;
            out = {{DType::I32, {s.groups, s.vectors(s.length), s.group_size()}}, {dtype, {s.groups, s.count * s.length}}, {dtype, {I}}, {dtype, {I}}, {DType::F64, {s.n_books(), s.iterations + 1}}};
            if (s.res_count > 0) out.push_back({dtype, {s.groups, s.res_count * s.length}});
            if (s.outliers > 0) {
              out.push_back({DType::I32, {1, s.vectors(vptq_outlier_length), s.outliers}});
              out.push_back({dtype, {1, s.outlier_count * vptq_outlier_length}});
            }
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            VptqSettings s;
            (void)read_settings(options, in[0].shape, s);
            if (Status status = check_permutation(in[3], s.I); !status.ok()) return status;
            return with_weight_type(in[0].dtype, [&](auto type) { return quantize<decltype(type)>(context, in, out, s); });
          }};
}

}  // namespace bitwright
