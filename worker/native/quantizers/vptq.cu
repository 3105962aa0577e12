// VPTQ on a CUDA device: legend in vptq.cc. Wt [I × padded rows] in the order of the walk lies on the device. A column of the walk is a search of its vectors among the centroids, which the whole
// device shares (one more for the second codebook), and one launch that brings its error to the rest of the block; what lies behind the block is one matrix product in F32.
//
// What differs from the processor: nothing without a factor, and nothing while all columns are one block, since every step is rounded alike and summed in one order. Behind a block the two
// differ by the order in which the product adds, at most 2 · block_size · 2⁻²⁴ · Σ_j |E_j · U_jk| for a weight; a vector that lies that near to the middle of two centroids may take the other one,
// and what the columns after it see is then another, equally good, rounding. With a second codebook its k-means sees what the first walk left, and so may draw other points.
//
// Floor: that of kmeans.cu for each iteration, as much for each walk, and GPTQ's I² · O for each walk; the launches of a walk are two or three for each column.
// Beside inputs and results: for a codebook its vectors, 4 O · I / groups bytes, with their weights and what the k-means takes, 24 for each; for a walk 4 O · (I + block_size) and 16 bytes for each vector of a block;
// with a second codebook also what the first leaves, 4 O · I, and the vectors stay while it is walked.
#include "cuda/launch.cuh"
#include "quantizers/gptq-column.h"
#include "quantizers/kernels.h"
#include "quantizers/kmeans.cuh"
#include "quantizers/solver.cuh"
#include "quantizers/vptq.h"

namespace bitwright::cuda {
namespace {

constexpr int settle_threads = 128;

/// Mean and standard deviation of every column, rounded to the type of the weight; a thread adds its column from top to bottom, as the processor does.
template <class T>
__global__ void __launch_bounds__(warp_threads)
    normalize_columns(AnyFloat weight, int64_t O, int64_t I, bool norm, const float* diagonal, float* scale, float* bias, FaultSlot* of_weights, FaultSlot* of_diagonal) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * warp_threads + threadIdx.x;
  if (j >= I) return;
  const auto rows = static_cast<double>(O);
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < O; ++r) sum += static_cast<double>(weight.value(r * I + j));
  for (int64_t r = 0; r < O; ++r) {
    const double centered = static_cast<double>(weight.value(r * I + j)) - sum / rows;
    squares += centered * centered;
  }
  if (!isfinite(squares)) report(of_weights, j, 0);
  if (diagonal != nullptr && !(diagonal[j] >= 0 && isfinite(diagonal[j]))) report(of_diagonal, j, bits_of(diagonal[j]));
  scale[j] = norm ? rounded_to<T>(static_cast<float>(sqrt(squares / rows))) : 1.0f;
  bias[j] = norm ? rounded_to<T>(static_cast<float>(sum / rows)) : 0.0f;
}

/// The vectors of a column as the first codebook meets them; the last rows of the weight may end within one.
struct ColumnPoints {
  static constexpr bool are_many = false, may_end = true;
  const float *w, *scale, *bias;
  int64_t O, length;
  __device__ float value(int64_t i, int c) const { return vptq_normal(w[i * length + c], *scale, *bias); }
  __device__ int64_t used(int64_t i) const { return length < O - i * length ? length : O - i * length; }
};

/// What the first codebook leaves of them.
struct LeftPoints {
  static constexpr bool are_many = false, may_end = true;
  ColumnPoints column;
  const float* book;
  const NearestKey* keys;
  __device__ float value(int64_t i, int c) const { return column.value(i, c) - book[centroid_of(keys[i]) * column.length + c]; }
  __device__ int64_t used(int64_t i) const { return column.used(i); }
};

/// A column whose centroids are found.
struct FoundColumn {
  ColumnPoints points;
  const float *book, *residual_book;  // the second or null
  const NearestKey *keys, *residual_keys;
  /// U[j, j] and behind it; or null.
  const float* U;
  float *w, *error;
  /// Of the vector v at v · stride.
  int32_t* indices;
  /// What the first codebook leaves, vector by vector; or null.
  float* left;
  int64_t padded, rest, stride, bits;
  bool norm;
  FaultSlot* slot;
};

/// A thread takes a row: its error, which block 0 of the second dimension keeps, and every gridDim.y-th of the columns behind.
template <class T>
__global__ void __launch_bounds__(settle_threads) settle_column(FoundColumn at) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * settle_threads + threadIdx.x, length = at.points.length, v = r / length, c = r % length;
  if (r >= at.padded) return;
  float error = 0;
  if (r < at.points.O) {
    const int64_t index = centroid_of(at.keys[v]), second = at.residual_book != nullptr ? centroid_of(at.residual_keys[v]) : 0;
    const float nearest = at.book[index * length + c];
    const float value = at.residual_book != nullptr ? rounded_to<T>(nearest + at.residual_book[second * length + c]) : nearest;
    error = (at.w[r] - vptq_read<T>(value, *at.points.scale, *at.points.bias, at.norm)) * (at.U != nullptr ? 1.0f / *at.U : 1.0f);
    if (blockIdx.y == 0) {
      if (!isfinite(error)) report(at.slot, r, bits_of(error));
      if (c == 0) at.indices[v * at.stride] = static_cast<int32_t>(static_cast<uint32_t>(index) | static_cast<uint32_t>(second) << at.bits);
      if (at.left != nullptr) at.left[r] = at.points.value(v, static_cast<int>(c)) - nearest;
    }
  }
  if (blockIdx.y == 0) at.error[r] = error;
  if (at.U == nullptr) return;
  for (int64_t k = 1 + blockIdx.y; k < at.rest; k += gridDim.y) at.w[k * at.padded + r] -= error * at.U[k];
}

struct Books {
  /// F32 values that the dtype of the weight has: [groups, count · length], that of the outliers, [groups, res_count · length] where the second codebook is there yet.
  const float *main, *outliers, *residual;
};

/// What the steps of one layer have in common.
struct Layer {
  Context& context;
  const VptqSettings& s;
  const Views &in, &out;
  const float *scale, *bias, *diagonal;
  const float* U;
  const int32_t* order;
  /// The same on the host; empty without an order.
  std::vector<int32_t> columns;
  int64_t column_at_step(int64_t j) const { return columns.empty() ? j : columns[static_cast<size_t>(j)]; }
};

/// points [columns × vectors × length] of the places from `first`, and what each weighs.
void vectors_of(const Layer& layer, int64_t first, int64_t n_columns, int64_t length, float* points, float* weights) {
  const int64_t O = layer.s.O, I = layer.s.I, n_vectors = layer.s.vectors(length);
  const AnyFloat weight(layer.in[0]);
  const float *scale = layer.scale, *bias = layer.bias, *diagonal = layer.diagonal;
  const int32_t* order = layer.s.stores_order ? layer.order : nullptr;
  layer.context.clear(points, n_columns * n_vectors * length * static_cast<int64_t>(sizeof(float)));
  for_rows(layer.context, O, n_columns, [=] __device__(int64_t r, int64_t q) {
    const int64_t column = inside(column_at(order, first + q), I);
    points[q * n_vectors * length + r] = vptq_normal(weight.value(r * I + column), scale[column], bias[column]);
  });
  const Scratch<double> means = layer.context.scratch<double>(1);
  double* mean = means.data();
  for_each(layer.context, 1, [=] __device__(int64_t) {
    double sum = 0;
    for (int64_t q = first; q < first + n_columns; ++q) {
      const int64_t column = inside(column_at(order, q), I);
      sum += vptq_importance(diagonal, scale[column], column) / static_cast<double>(n_columns);
    }
    *mean = sum;
  });
  for_each(layer.context, n_columns * n_vectors, [=] __device__(int64_t i) {
    const int64_t column = inside(column_at(order, first + i / n_vectors), I);
    weights[i] = *mean > 0 ? static_cast<float>(vptq_importance(diagonal, scale[column], column) / *mean) : 0.0f;
  });
}

/// Indices to the results; `left` (or null) as the points of vectors_of, group by group, zeros where no row is.
template <class T>
void walk(const Layer& layer, const Books& books, float* left) {
  Context& context = layer.context;
  const VptqSettings& s = layer.s;
  const int64_t O = s.O, I = s.I, padded = padded_rows(O), block_size = std::min(s.block_size, I), most = std::max(s.vectors(s.length), s.vectors(vptq_outlier_length));
  const Scratch<float> weights = context.scratch<float>(I * padded), errors = context.scratch<float>(block_size * padded);
  const Scratch<NearestKey> found = context.scratch<NearestKey>(2 * block_size * most);
  float *Wt = weights.data(), *E = errors.data();
  FaultSlot* slot = context.fault([](uint32_t, uint32_t) { return std::string(vptq_unbounded); });
  transpose_weight(context, layer.in[0], padded, layer.order, nullptr, Wt);
  for (int64_t begin = 0; begin < I; begin += block_size) {
    const int64_t end = std::min(I, begin + block_size);
    forget_nearest(context, found.data(), 2 * block_size * most);
    for (int64_t j = begin; j < end; ++j) {
      if (j % 16 == 0) context.step();
      const int64_t column = layer.column_at_step(j), place = s.stores_order ? j : column, group = s.group_of(place), length = s.length_in(group), n_vectors = s.vectors(length);
      const bool is_outlier = group == s.groups;
      const int64_t count = is_outlier ? s.outlier_count : s.count;
      NearestKey *keys = found.data() + 2 * (j - begin) * most, *residual_keys = keys + most;
      FoundColumn at{};
      at.points = {Wt + j * padded, layer.scale + column, layer.bias + column, O, length};
      at.book = is_outlier ? books.outliers : books.main + group * s.count * s.length;
      at.residual_book = is_outlier || books.residual == nullptr ? nullptr : books.residual + group * s.res_count * s.length;
      at.keys = keys;
      at.residual_keys = residual_keys;
      at.U = layer.U == nullptr ? nullptr : layer.U + j * I + j;
      at.w = Wt + j * padded;
      at.error = E + (j - begin) * padded;
      const int64_t within = is_outlier ? place : (place - s.outliers) % s.group_size();
      at.indices = is_outlier ? layer.out[layer.out.size() - 2].as<int32_t>() + within : layer.out[0].as<int32_t>() + group * n_vectors * s.group_size() + within;
      at.stride = is_outlier ? s.outliers : s.group_size();
      at.left = left == nullptr || is_outlier ? nullptr : left + (place - s.outliers) * n_vectors * length;
      at.padded = padded;
      at.rest = end - j;
      at.bits = s.bits();
      at.norm = s.norm;
      at.slot = slot;
      find_nearest(context, at.points, n_vectors, at.book, count, length, keys);
      if (at.residual_book != nullptr) find_nearest(context, LeftPoints{at.points, at.book, keys}, n_vectors, at.residual_book, s.res_count, length, residual_keys);
      const int64_t shares = at.U == nullptr ? 1 : std::max<int64_t>(1, std::min<int64_t>(8, at.rest - 1));
      launch(context, dim3(static_cast<unsigned>((padded + settle_threads - 1) / settle_threads), static_cast<unsigned>(shares)), settle_threads, 0, settle_column<T>, at);
    }
    if (layer.U != nullptr && end < I) context.gemm(DType::F32, true, false, I - end, padded, end - begin, -1, layer.U + begin * I + end, I, E, padded, 1, Wt + end * padded, padded);
  }
}

/// A codebook in F32 becomes what the dtype of the weight has of it, here and in the results.
template <class T>
void store_book(Context& context, float* values, int64_t count, const TensorView& result, int64_t begin) {
  auto* stored = result.as<typename T::Stored>() + begin;
  for_each(context, count, [=] __device__(int64_t i) {
    stored[i] = T::store(values[i]);
    values[i] = T::load(stored[i]);
  });
}

template <class T>
void store_columns(Context& context, const float* values, const TensorView& result) {
  auto* stored = result.as<typename T::Stored>();
  for_each(context, result.count(), [=] __device__(int64_t j) { stored[j] = T::store(values[j]); });
}

template <class T>
void quantize(Context& context, const VptqSettings& s, const Views& in, const Views& out) {
  const Scratch<float> scales = context.scratch<float>(s.I), biases = context.scratch<float>(s.I);
  Layer layer{context, s, in, out, scales.data(), biases.data(), in[2].present ? in[2].as<float>() : nullptr, in[1].present ? in[1].as<float>() : nullptr, ints_or_null(in[3]), {}};
  FaultSlot* of_weights = context.fault([](uint32_t column, uint32_t) { return "column " + std::to_string(column) + " has a weight that is NaN or infinite"; });
  FaultSlot* of_diagonal = context.fault([](uint32_t column, uint32_t bits) { return "diag(H) at column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
  launch(context, static_cast<unsigned>((s.I + warp_threads - 1) / warp_threads), warp_threads, 0, normalize_columns<T>, AnyFloat(in[0]), s.O, s.I, s.norm, layer.diagonal, scales.data(), biases.data(), of_weights, of_diagonal);
  // The order is known to be one, and its columns say on the host which codebook each of them meets.
  context.settle_here();
  if (layer.order != nullptr) {
    layer.columns.resize(static_cast<size_t>(s.I));
    context.read(layer.columns.data(), layer.order, s.I * static_cast<int64_t>(sizeof(int32_t)));
  }
  store_columns<T>(context, scales.data(), out[2]);
  store_columns<T>(context, biases.data(), out[3]);

  const int64_t of_group = s.group_size() * s.vectors(s.length) * s.length, of_outliers = s.outliers * s.vectors(vptq_outlier_length) * vptq_outlier_length;
  const int64_t of_book = s.count * s.length, of_residual = s.res_count * s.length, most = std::max(of_group, of_outliers);
  const Scratch<float> books = context.scratch<float>(s.groups * of_book), outlier_book = context.scratch<float>(s.outliers > 0 ? s.outlier_count * vptq_outlier_length : 1),
                       residual_books = context.scratch<float>(s.res_count > 0 ? s.groups * of_residual : 1), lefts = context.scratch<float>(s.res_count > 0 ? s.groups * of_group : 1);
  const int64_t n_errors = out[4].count();
  double* errors = out[4].as<double>();
  for_each(context, n_errors, [=] __device__(int64_t i) { errors[i] = NAN; });
  std::vector<double> objective;
  int64_t n_made = 0;
  {
    const Scratch<float> vectors = context.scratch<float>(most), weights = context.scratch<float>(std::max(s.group_size() * s.vectors(s.length), s.outliers * s.vectors(vptq_outlier_length)));
    const auto codebook = [&](const float* points, int64_t n, int64_t length, int64_t count, float* values) {
      weighted_kmeans(context, points, weights.data(), n, {count, length, s.iterations, s.tolerance, s.seed + static_cast<uint64_t>(n_made)}, values, objective);
      context.fill(errors + n_made++ * (s.iterations + 1), static_cast<int64_t>(objective.size() * sizeof(double)), [&](void* host, int64_t offset, int64_t bytes) {
        std::memcpy(host, reinterpret_cast<const char*>(objective.data()) + offset, static_cast<size_t>(bytes));
        return true;
      });
    };
    for (int64_t g = 0; g < s.groups; ++g) {
      vectors_of(layer, s.outliers + g * s.group_size(), s.group_size(), s.length, vectors.data(), weights.data());
      codebook(vectors.data(), s.group_size() * s.vectors(s.length), s.length, s.count, books.data() + g * of_book);
    }
    store_book<T>(context, books.data(), s.groups * of_book, out[1], 0);
    if (s.outliers > 0) {
      vectors_of(layer, 0, s.outliers, vptq_outlier_length, vectors.data(), weights.data());
      codebook(vectors.data(), s.outliers * s.vectors(vptq_outlier_length), vptq_outlier_length, s.outlier_count, outlier_book.data());
      store_book<T>(context, outlier_book.data(), s.outlier_count * vptq_outlier_length, out[out.size() - 1], 0);
    }
    if (s.res_count > 0) {
      context.clear(lefts.data(), s.groups * of_group * static_cast<int64_t>(sizeof(float)));
      walk<T>(layer, {books.data(), outlier_book.data(), nullptr}, lefts.data());
      for (int64_t g = 0; g < s.groups; ++g) {
        vectors_of(layer, s.outliers + g * s.group_size(), s.group_size(), s.length, vectors.data(), weights.data());
        codebook(lefts.data() + g * of_group, s.group_size() * s.vectors(s.length), s.length, s.res_count, residual_books.data() + g * of_residual);
      }
      store_book<T>(context, residual_books.data(), s.groups * of_residual, out[5], 0);
    }
  }
  walk<T>(layer, {books.data(), outlier_book.data(), s.res_count > 0 ? residual_books.data() : nullptr}, nullptr);
}

}  // namespace

void quantize_vptq(Context& context, const Views& in, const Views& out, const Options& options) {
  VptqSettings s;
  (void)read_settings(options, in[0].shape, s);
  check_permutation(context, in[3], s.I);
  with_weight_type(in[0].dtype, [&](auto type) { quantize<decltype(type)>(context, s, in, out); });
}

}  // namespace bitwright::cuda
