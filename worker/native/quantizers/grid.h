// The integer grid: scale, zero point, quantize and dequantize of one value. The single definition of compressed-tensors' arithmetic,
// in which every step is rounded to the dtype T of the weight (rd below); doing it in float changes codes.
//
//   b bits: qmin = -2^(b-1), qmax = 2^(b-1) - 1; a cell is the set of weights that share a scale
//   mn = min(min(x), 0), mx = max(max(x), 0)
//   symmetric:   scale = rd(max(-mn, mx) / ((2^b - 1) / 2)), zero_point = 0
//   asymmetric:  scale = rd(rd(mx - mn) / (2^b - 1)), zero_point = round(clamp(rd(qmin - rd(mn / scale))))
//   a scale of 0 becomes the epsilon of T
//   q = round(clamp(rd(rd(x / scale) + zero_point))), half to even; x̂ = rd((q - zero_point) · scale)
//
// Source: compressed-tensors 0.18, quantization/utils/helpers.py (calculate_qparams) and quantization/lifecycle/forward.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/operation.h"

namespace bitwright {

struct Grid {
  int num_bits = 8;
  bool symmetric = true;
  BITWRIGHT_PORTABLE float qmin() const { return -std::ldexp(1.0f, num_bits - 1); }
  BITWRIGHT_PORTABLE float qmax() const { return std::ldexp(1.0f, num_bits - 1) - 1.0f; }
  BITWRIGHT_PORTABLE float range() const { return std::ldexp(1.0f, num_bits) - 1.0f; }
};

/// Half to even, for |value| < 2^22.
BITWRIGHT_PORTABLE inline float round_half_even(float value) { return (value + 12582912.0f) - 12582912.0f; }

template <class T>
struct CellScale {
  float scale;
  int8_t zero_point;
};

/// Scale and zero point of a cell with extremes mn and mx.
template <class T>
BITWRIGHT_PORTABLE inline CellScale<T> scale_of_range(const Grid& grid, float mn, float mx) {
  mn = std::min(mn, 0.0f);
  mx = std::max(mx, 0.0f);
  float scale, zero_point = 0;
  if (grid.symmetric) {
    scale = rounded_to<T>(std::max(-mn, mx) / (grid.range() / 2));
  } else {
    scale = rounded_to<T>(rounded_to<T>(mx - mn) / grid.range());
    zero_point = rounded_to<T>(grid.qmin() - rounded_to<T>(mn / scale));
    // An all-zero cell divides 0 by 0; its zero point is 0.
    zero_point = std::isnan(zero_point) ? 0.0f : round_half_even(std::clamp(zero_point, grid.qmin(), grid.qmax()));
  }
  if (scale == 0) scale = T::epsilon;
  return {scale, static_cast<int8_t>(zero_point)};
}

/// The code of x before clamping and rounding.
template <class T>
BITWRIGHT_PORTABLE inline float unclamped_code(float x, float scale, float zero_point) {
  const float code = rounded_to<T>(x / scale);
  return zero_point == 0 ? code : rounded_to<T>(code + zero_point);
}

/// NaN becomes qmin: callers refuse weights that are not finite before.
template <class T>
BITWRIGHT_PORTABLE inline float code_of(float x, float scale, float zero_point, float qmin, float qmax) {
  const float code = unclamped_code<T>(x, scale, zero_point);
  return round_half_even(code > qmin ? (code < qmax ? code : qmax) : qmin);
}

/// Which cell a weight belongs to: scale tensors are [1], [O, 1] or [O, G].
struct Cells {
  enum class Strategy { tensor, channel, group } strategy = Strategy::tensor;
  int64_t rows = 0, columns = 0, group_size = 0, n_groups = 1;

  /// Fills from options and a weight shape; answers a sentence when they do not fit.
  static Status from(const Options& options, const Shape& weight, Cells& cells) {
    const std::string name = options.text("strategy");
    cells.rows = weight[0];
    cells.columns = weight[1];
    if (name == "tensor") cells.strategy = Strategy::tensor;
    else if (name == "channel") cells.strategy = Strategy::channel;
    else if (name == "group") cells.strategy = Strategy::group;
    else return Status::error("strategy " + name + " is none of tensor, channel, group");
    cells.group_size = cells.columns;
    if (cells.strategy != Strategy::group) return Status::fine();
    cells.group_size = options.integer("group_size");
    if (cells.group_size <= 0 || cells.columns % cells.group_size != 0)
      return Status::error("group_size " + std::to_string(cells.group_size) + " does not divide " + std::to_string(cells.columns) + " columns");
    cells.n_groups = cells.columns / cells.group_size;
    return Status::fine();
  }
  Shape scale_shape() const { return strategy == Strategy::tensor ? Shape{1} : Shape{rows, n_groups}; }
  /// Index into the scale tensor of group `group` of row `row`.
  BITWRIGHT_PORTABLE int64_t index(int64_t row, int64_t group) const { return strategy == Strategy::tensor ? 0 : row * n_groups + group; }
  /// Group of a column: by table, else contiguous.
  BITWRIGHT_PORTABLE int64_t group_of(int64_t column, const int32_t* g_idx) const { return g_idx != nullptr ? g_idx[column] : column / group_size; }
};

inline Status grid_from(const Options& options, Grid& grid) {
  grid.num_bits = static_cast<int>(options.integer("num_bits"));
  grid.symmetric = options.flag("symmetric");
  if (grid.num_bits < 1 || grid.num_bits > 8) return Status::error("num_bits " + std::to_string(grid.num_bits) + " is not between 1 and 8");
  return Status::fine();
}

/// infer for operations on (weight or codes [O, I], scale, zero_point, …): grid, cells and scale shape must fit.
inline Status check_scaled(const Specs& in, const Options& options, size_t scale_at, Cells& cells) {
  Grid grid;
  if (in[0].shape.size() != 2) return mismatch("a matrix [O, I]", in);
  if (Status status = grid_from(options, grid); !status.ok()) return status;
  if (Status status = Cells::from(options, in[0].shape, cells); !status.ok()) return status;
  if (!is_weight(in[scale_at].dtype) || in[scale_at].count() != count_of(cells.scale_shape())) return mismatch("scales " + text_of(cells.scale_shape()), in);
  return Status::fine();
}

/// A column → group table must name groups that exist.
inline Status check_groups(const TensorView& g_idx, const Cells& cells) {
  if (!g_idx.present) return Status::fine();
  for (int64_t c = 0; c < cells.columns; ++c)
    if (g_idx.as<int32_t>()[c] < 0 || g_idx.as<int32_t>()[c] >= cells.n_groups)
      return Status::error("column " + std::to_string(c) + " names group " + std::to_string(g_idx.as<int32_t>()[c]) + " of " + std::to_string(cells.n_groups));
  return Status::fine();
}

/// A permutation must name each of n columns once.
inline Status check_permutation(const TensorView& permutation, int64_t n) {
  if (!permutation.present) return Status::fine();
  std::vector<bool> seen(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const int32_t column = permutation.as<int32_t>()[i];
    if (column < 0 || column >= n || seen[static_cast<size_t>(column)]) return Status::error("the permutation of " + std::to_string(n) + " columns names column " + std::to_string(column) + (column < 0 || column >= n ? "" : " twice"));
    seen[static_cast<size_t>(column)] = true;
  }
  return Status::fine();
}

inline const int32_t* ints_or_null(const TensorView& view) { return view.present ? view.as<int32_t>() : nullptr; }

}  // namespace bitwright
