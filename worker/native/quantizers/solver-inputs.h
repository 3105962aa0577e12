// What infer of the solvers asks alike of a weight, its Gram matrices, scales and zero points.
#pragma once
#include "quantizers/grid.h"

namespace bitwright {

/// F32 [n, n]: a Gram matrix or a factor.
inline bool is_square(const TensorSpec& matrix, int64_t n) { return matrix.present && matrix.dtype == DType::F32 && matrix.shape == Shape{n, n}; }

/// A vector that may be left out, one value for each of n columns.
inline bool is_per_column(const TensorSpec& vector, DType dtype, int64_t n) { return !vector.present || (vector.dtype == dtype && vector.count() == n); }

/// U8 of the weight's shape: 1 where a weight is to be zero; it may be left out.
inline bool is_mask(const TensorSpec& mask, const TensorSpec& weight) { return !mask.present || (mask.dtype == DType::U8 && mask.shape == weight.shape); }

/// A weight of floats first, and behind the scale a zero point for each.
inline bool has_zero_points(const Specs& in, size_t scale_at) {
  const TensorSpec &scale = in[scale_at], &zero_point = in[scale_at + 1];
  return is_weight(in[0].dtype) && zero_point.present && zero_point.dtype == DType::I8 && zero_point.count() == scale.count();
}

/// check_scaled of solvers whose codes are integers, one step apart.
inline Status check_integers(const Specs& in, const Options& options, size_t scale_at, Cells& cells) {
  if (Status status = check_scaled(in, options, scale_at, cells); !status.ok()) return status;
  if (Status status = check_even_steps(options); !status.ok()) return status;
  return options.text("type") == "float" ? Status::error("codes are integers here, not floats") : Status::fine();
}

}  // namespace bitwright
