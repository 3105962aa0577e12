// Rotations of weights: what QuaRot (Ashkboos et al., arXiv 2404.00456), SpinQuant (Liu et al., arXiv 2405.16406) and DuQuant (Lin et al., arXiv 2406.01721)
// multiply weights by, so that no channel stands out.
//
//   paper         here     shape      meaning
//   H_b           –        b × b      Hadamard matrix: ±1, H Hᵀ = b I; here S ⊗ F with S of order 2^m (Sylvester) and F given
//   F             factor   K × K      I8, a Hadamard matrix of order K = b / 2^m
//   D             signs    b          I8, ±1: a random Hadamard matrix is D H
//   R             R        b × b      D H / √b, or any matrix (rotate)
//   γ             gain     I          weight of the norm before, folded into the columns first
//
// Every piece v of b elements along the axis becomes v R: W R for axis 1, Rᵀ W for axis 0, so that both sides of a pair turn the same way.
// Sums in double, rounded once to the dtype of the result. Differs from compressed-tensors 0.17, which multiplies by a dense H and rounds after each of
// fold, R1 and R2. Cost for n elements: n · (K + m) (hadamard_transform), n · b (rotate).
#include <cmath>

#include "core/convert.h"
#include "core/operations.h"
#include "transforms/hadamard.h"
#include "transforms/rotation-shape.h"

namespace bitwright {
namespace {

/// Vectors that are worked on together along axis 0.
constexpr int64_t lanes_of_tile = 16;

bool is_power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

/// What both operations ask of the tensor, the gain and the options; `size` divides the axis.
Status check_rotated(const Specs& in, size_t gain, int64_t size, const Options& options, Specs& out) {
  const int64_t axis = options.integer("axis", -1);
  if (axis != 0 && axis != 1) return Status::error("axis is neither 0 nor 1");
  if (!is_weight(in[0].dtype) || in[0].shape.empty() || in[0].shape.size() > 2 || (axis == 1 && in[0].shape.size() != 2)) return mismatch("a matrix, or a vector with axis 0, of weights", in);
  const RotationShape shape(in[0], axis, size);
  if (size < 1 || shape.extent() % size != 0) return Status::error("an axis of " + std::to_string(shape.extent()) + " is not a multiple of the rotation's " + std::to_string(size));
  if (in[gain].present && (!is_float(in[gain].dtype) || in[gain].count() != shape.columns || axis != 1)) return mismatch("a gain of the number of columns, with axis 1", in);
  TensorSpec result = in[0];
  if (!dtype_from_name(options.text("dtype"), result.dtype) || !is_weight(result.dtype)) return Status::error("dtype " + options.text("dtype") + " is none of BF16, F16, F32");
  out = {result};
  return Status::fine();
}

/// v [size, lanes] ← the same times D H / √size. `work` has room for K · lanes.
void transform(double* v, int64_t size, int64_t lanes, const int8_t* signs, const int8_t* factor, int64_t K, double* work) {
  for (int64_t i = 0; i < size; ++i)
    if (signs[i] < 0)
      for (int64_t lane = 0; lane < lanes; ++lane) v[i * lanes + lane] = -v[i * lanes + lane];
  if (K > 1)
    for (int64_t begin = 0; begin < size; begin += K) {
      double* piece = v + begin * lanes;
      for (int64_t c = 0; c < K * lanes; ++c) work[c] = 0;
      for (int64_t a = 0; a < K; ++a)
        for (int64_t c = 0; c < K; ++c)
          for (int64_t lane = 0; lane < lanes; ++lane) work[c * lanes + lane] += factor[a * K + c] * piece[a * lanes + lane];
      for (int64_t c = 0; c < K * lanes; ++c) piece[c] = work[c];
    }
  for (int64_t half = K * lanes; half < size * lanes; half *= 2)
    for (int64_t begin = 0; begin < size * lanes; begin += 2 * half)
      for (int64_t i = begin; i < begin + half; ++i) {
        const double a = v[i], b = v[i + half];
        v[i] = a + b;
        v[i + half] = a - b;
      }
  const double unit = 1 / std::sqrt(static_cast<double>(size));
  for (int64_t i = 0; i < size * lanes; ++i) v[i] *= unit;
}

/// v [size, lanes] ← Σ_i v_i R_ij. `work` has room for size · lanes.
void multiply(double* v, int64_t size, int64_t lanes, const double* R, double* work) {
  for (int64_t i = 0; i < size * lanes; ++i) work[i] = 0;
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      for (int64_t lane = 0; lane < lanes; ++lane) work[j * lanes + lane] += R[i * size + j] * v[i * lanes + lane];
  for (int64_t i = 0; i < size * lanes; ++i) v[i] = work[i];
}

/// Reads every vector of x, lets `turn(piece, vectors, lanes, work)` change it and stores it in y. Lines along the axis are taken 16 at a time.
template <class Turn>
void over_vectors(Pool& pool, const TensorView& x, const TensorView& gain, const TensorView& y, const RotationShape& shape, int64_t work_of_lane, const Turn& turn) {
  const auto [rows, columns, axis, size] = shape;
  const int64_t n_lines = axis == 0 ? columns : rows, n_pieces = shape.extent() / size;
  const int64_t line_stride = axis == 0 ? 1 : columns, step = axis == 0 ? columns : 1;
  pool.parallel_chunks(n_lines, lanes_of_tile, [&, size = size](int64_t first, int64_t end) {
    const int64_t lanes = end - first;
    std::vector<double> v(static_cast<size_t>(size * lanes)), work(static_cast<size_t>(work_of_lane * lanes));
    for (int64_t piece = 0; piece < n_pieces; ++piece) {
      const auto place = [&](int64_t i, int64_t lane) { return (first + lane) * line_stride + (piece * size + i) * step; };
      for (int64_t i = 0; i < size; ++i)
        for (int64_t lane = 0; lane < lanes; ++lane) v[static_cast<size_t>(i * lanes + lane)] = element_of(x, place(i, lane)) * (gain.present ? element_of(gain, piece * size + i) : 1.0);
      turn(piece, v.data(), lanes, work.data());
      with_weight_type(y.dtype, [&](auto type) {
        using T = decltype(type);
        auto* stored = y.as<typename T::Stored>();
        for (int64_t i = 0; i < size; ++i)
          for (int64_t lane = 0; lane < lanes; ++lane) stored[place(i, lane)] = T::store(static_cast<float>(v[static_cast<size_t>(i * lanes + lane)]));
      });
    }
  });
}

}  // namespace

/// x (a weight or a bias), gain F [I] or none, signs I8 [b], factor I8 [K, K] → x turned along its axis, in `dtype`.
Operation hadamard_transform_operation() {
  return {"hadamard_transform",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 4 || in[2].dtype != DType::I8 || in[3].dtype != DType::I8 || in[3].shape.size() != 2 || in[3].shape[0] != in[3].shape[1]) return mismatch("weight, gain, signs I8 [b] and factor I8 [K, K]", in);
            const int64_t size = in[2].count(), K = in[3].shape[0];
            if (K < 1 || size % K != 0 || !is_power_of_two(size / K)) return Status::error("a rotation of " + std::to_string(size) + " is not a power of two times its factor of order " + std::to_string(K));
            return check_rotated(in, 1, size, options, out);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t K = in[3].extent(0);
            const RotationShape shape(in[0], options.integer("axis"), in[2].count());
            over_vectors(context.pool, in[0], in[1], out[0], shape, K, [&](int64_t, double* v, int64_t lanes, double* work) { transform(v, shape.size, lanes, in[2].as<int8_t>(), in[3].as<int8_t>(), K, work); });
            return Status::fine();
          }};
}

/// x (a weight or a bias), gain F [I] or none, R F64 [pieces or 1, b, b] → every piece times its R (or the one R), in `dtype`.
Operation rotate_operation() {
  return {"rotate",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || in[2].dtype != DType::F64 || in[2].shape.size() != 3 || in[2].shape[1] != in[2].shape[2]) return mismatch("weight, gain and R F64 [pieces, b, b]", in);
            const Status status = check_rotated(in, 1, in[2].shape[1], options, out);
            if (!status.ok()) return status;
            const RotationShape shape(in[0], options.integer("axis"), in[2].shape[1]);
            if (in[2].shape[0] != 1 && in[2].shape[0] != shape.extent() / shape.size) return mismatch("one R, or one for each piece", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const RotationShape shape(in[0], options.integer("axis"), in[2].extent(1));
            const double* R = in[2].as<double>();
            const int64_t next = in[2].extent(0) == 1 ? 0 : shape.size * shape.size;
            over_vectors(context.pool, in[0], in[1], out[0], shape, shape.size, [&](int64_t piece, double* v, int64_t lanes, double* work) { multiply(v, shape.size, lanes, R + piece * next, work); });
            return Status::fine();
          }};
}

}  // namespace bitwright
