// Rotations of weights by Hadamard matrices: what QuaRot (Ashkboos et al., arXiv 2404.00456) and SpinQuant (Liu et al., arXiv 2405.16406) multiply weights by, so that
// no channel stands out. Any other matrix: duquant.cc.
//
//   paper         here     shape      meaning
//   H_b           –        b × b      Hadamard matrix: ±1, H Hᵀ = b I; here S ⊗ F with S of order 2^m (Sylvester) and F given
//   F             factor   K × K      I8, a Hadamard matrix of order K = b / 2^m
//   D             signs    b          I8, ±1: a random Hadamard matrix is D H
//   R             –        b × b      D H / √b
//   γ             gain     I          weight of the norm before, folded into the columns first
//
// Every piece v of b elements along the axis becomes v R: W R for axis 1, Rᵀ W for axis 0, so that both sides of a pair turn the same way.
// Sums in double, rounded once to the dtype of the result. Differs from compressed-tensors 0.17, which multiplies by a dense H and rounds after each of
// fold, R1 and R2. Cost for n elements: n · (K + m).
#include <cmath>

#include "core/convert.h"
#include "core/operations.h"
#include "transforms/hadamard.h"
#include "transforms/rotation-lines.h"

namespace bitwright {
namespace {

bool is_power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

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

}  // namespace bitwright
