// One weight of GPTQ's column loop: its code, and what the code stands for. Shared by the backends; legend in gptq.h.
#pragma once
#include "quantizers/grid.h"

namespace bitwright {

struct RoundedWeight {
  float code;
  /// The dequantized code, in the type of the scale.
  float value;
};

/// T: the dtype of the scale. The quotient is taken in F32: the peer's solver works on F32 weights with scales of the weight's type.
template <class T, class Codes = Integers>
BITWRIGHT_PORTABLE inline RoundedWeight round_weight(float w, float scale, float zero_point, float qmin, float qmax) {
  const float q = code_of<F32Type, Codes>(w, scale, zero_point, qmin, qmax);
  return {q, rounded_to<T>(rounded_to<T>(q - zero_point) * scale)};
}

/// Column of the weight that is solved as the j-th.
BITWRIGHT_PORTABLE inline int64_t column_at(const int32_t* permutation, int64_t j) { return permutation != nullptr ? permutation[j] : j; }

/// Row and column of H that stand at i of the index-reversed, permuted matrix that is factored: see gptq-factor.cc.
BITWRIGHT_PORTABLE inline int64_t reversed_column_at(const int32_t* permutation, int64_t n, int64_t i) { return column_at(permutation, n - 1 - i); }

}  // namespace bitwright
