// Rotations of weights on a CUDA device: see hadamard.cc. In double and in the processor's order, so that the bytes are the processor's; lines are taken so many at a time that the doubles stay within 64 MB.
// Beside inputs and results: the doubles as they are and as they become, 16 bytes for each element and 128 MB at most.
#include <algorithm>
#include <cmath>
#include <utility>

#include "cuda/launch.cuh"
#include "transforms/kernels.h"
#include "transforms/rotation-shape.h"

namespace bitwright::cuda {
namespace {

constexpr int64_t doubles_at_a_time = 1 << 23;

/// The lines along the axis: which are turned one like the other.
struct Lines {
  int64_t line_stride, step, length, n_lines;
  explicit Lines(const RotationShape& shape)
      : line_stride(shape.axis == 0 ? 1 : shape.columns), step(shape.axis == 0 ? shape.columns : 1), length(shape.extent()), n_lines(shape.axis == 0 ? shape.columns : shape.rows) {}
  int64_t at_a_time() const { return std::max<int64_t>(1, std::min(n_lines, doubles_at_a_time / std::max<int64_t>(1, length))); }
};

template <class T>
void store(Context& context, const double* v, const TensorView& y, const Lines& lines, int64_t begin, int64_t n) {
  auto* stored = y.as<typename T::Stored>();
  const int64_t length = lines.length, line_stride = lines.line_stride, step = lines.step;
  for_each(context, n, [=] __device__(int64_t k) { stored[(begin + k / length) * line_stride + k % length * step] = T::store(static_cast<float>(v[k])); });
}

/// v[k] = element k % length of line begin + k / length, times its gain.
void load(Context& context, const TensorView& x, const TensorView& gain, double* v, const Lines& lines, int64_t begin, int64_t n) {
  const AnyFloat from(x), gains(gain);
  const bool has_gain = gain.present;
  const int64_t length = lines.length, line_stride = lines.line_stride, step = lines.step;
  for_each(context, n, [=] __device__(int64_t k) { v[k] = from.precise((begin + k / length) * line_stride + k % length * step) * (has_gain ? gains.precise(k % length) : 1.0); });
}

/// `turn(v, other, n)` answers which of its two places holds the n turned numbers.
template <class Turn>
void over_lines(Context& context, const Views& in, const TensorView& y, const Lines& lines, const Turn& turn) {
  if (lines.n_lines == 0 || lines.length == 0) return;
  const int64_t at_a_time = lines.at_a_time();
  const Scratch<double> v = context.scratch<double>(at_a_time * lines.length), other = context.scratch<double>(at_a_time * lines.length);
  for (int64_t begin = 0; begin < lines.n_lines; begin += at_a_time) {
    const int64_t n = std::min(at_a_time, lines.n_lines - begin) * lines.length;
    load(context, in[0], in[1], v.data(), lines, begin, n);
    const double* turned = turn(v.data(), other.data(), n);
    with_weight_type(y.dtype, [&](auto type) { store<decltype(type)>(context, turned, y, lines, begin, n); });
  }
}

const double* transform(Context& context, double* from, double* to, int64_t n, int64_t size, const int8_t* signs, const int8_t* factor, int64_t K) {
  for_each(context, n, [=] __device__(int64_t k) {
    if (signs[k % size] < 0) from[k] = -from[k];
  });
  if (K > 1) {
    for_each(context, n, [=] __device__(int64_t k) {
      const int64_t c = k % K, begin = k - c;
      double sum = 0;
      for (int64_t a = 0; a < K; ++a) sum += factor[a * K + c] * from[begin + a];
      to[k] = sum;
    });
    std::swap(from, to);
  }
  for (int64_t half = K; half < size; half *= 2)
    for_each(context, n / 2, [=] __device__(int64_t k) {
      const int64_t i = k / half * 2 * half + k % half;
      const double a = from[i], b = from[i + half];
      from[i] = a + b;
      from[i + half] = a - b;
    });
  const double unit = 1 / std::sqrt(static_cast<double>(size));
  for_each(context, n, [=] __device__(int64_t k) { from[k] *= unit; });
  return from;
}

const double* multiply(Context& context, const double* v, double* to, int64_t n, int64_t size, const double* R, int64_t n_pieces) {
  for_each(context, n, [=] __device__(int64_t k) {
    const int64_t j = k % size, begin = k - j;
    const double* own = R + begin / size % n_pieces * size * size;
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += own[i * size + j] * v[begin + i];
    to[k] = sum;
  });
  return to;
}

}  // namespace

void hadamard_transform(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t size = in[2].count(), K = in[3].extent(0);
  const int8_t *signs = in[2].as<int8_t>(), *factor = in[3].as<int8_t>();
  over_lines(context, in, out[0], Lines(RotationShape(in[0], options.integer("axis"), size)), [&](double* v, double* other, int64_t n) { return transform(context, v, other, n, size, signs, factor, K); });
}

void rotate(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t size = in[2].extent(1), n_pieces = in[2].extent(0);
  const double* R = in[2].as<double>();
  over_lines(context, in, out[0], Lines(RotationShape(in[0], options.integer("axis"), size)), [&](double* v, double* other, int64_t n) { return multiply(context, v, other, n, size, R, n_pieces); });
}

}  // namespace bitwright::cuda
