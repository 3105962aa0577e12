// The grid of a quantized value: scale, zero point, quantize and dequantize. The single definition of compressed-tensors' arithmetic,
// in which every step is rounded to the dtype T of the weight (rd below); doing it in float changes codes.
//
//   integers of b bits: qmin = -2^(b-1), qmax = 2^(b-1) - 1; a cell is the set of weights that share a scale
//   mn = min(min(x), 0), mx = max(max(x), 0)
//   symmetric:   scale = rd(max(-mn, mx) / ((2^b - 1) / 2)), zero_point = 0
//   asymmetric:  scale = rd(rd(mx - mn) / (2^b - 1)), zero_point = round(clamp(rd(qmin - rd(mn / scale))))
//   a scale of 0 becomes the epsilon of T
//   q = round(clamp(rd(rd(x / scale) + zero_point))), half to even; x̂ = rd((q - zero_point) · scale)
//
//   floats (float-grid.h): max = 448 (E4M3, 8 bits) or 6 (E2M1, 4 bits); symmetric
//   scale = rd(max(-mn, mx) / max), 0 becomes the epsilon of T
//   MX:     scale = 2^(E - k), E the exponent of max(-mn, mx), one more from a significand of 1.75 on; k = 2 (E2M1) or 8 (E4M3)
//   NVFP4:  two levels, see tensor-group-scales.cc; its cells hand on max(-mn, mx) itself
//   q = nearest grid value of clamp(rd(x / scale)); x̂ = rd(q · scale)
//
//   levels: some integers of b bits, symmetric, stored as all integers of b bits are; scale = rd(max(-mn, mx) / end), end half a step behind the last level
//   ternary        -1 0 1                     log2 3 = 1.58 bits    end 1.5            the scale of BitNet b1.58 is absmean.cc's
//   binary         -1 1                       1                     2                  so is that of XNOR-Net
//   six            ±1 ±3 ±5                   log2 6 = 2.58         6                  ±½ ±1½ ±2½ of twice the scale
//   power_of_two   0 ±1 ±2 ±4 … ±2^(b-2)      log2(2 b - 1)         1.5 · 2^(b-2)      INQ, arXiv 1702.03044; in the middle of two the smaller
//
// Source: compressed-tensors 0.18, quantization/utils/helpers.py (calculate_qparams) and quantization/lifecycle/forward.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/operation.h"
#include "quantizers/float-grid.h"

namespace bitwright {

/// Half to even, for |value| < 2^22.
BITWRIGHT_PORTABLE inline float round_half_even(float value) { return (value + 12582912.0f) - 12582912.0f; }

/// The values a code can stand for: rounding to them and their storage, one code per byte.
struct Integers {
  BITWRIGHT_PORTABLE static float round(float value) { return round_half_even(value); }
  BITWRIGHT_PORTABLE static uint8_t code(float value) { return static_cast<uint8_t>(static_cast<int8_t>(value)); }
  BITWRIGHT_PORTABLE static float value(uint8_t code) { return static_cast<float>(static_cast<int8_t>(code)); }
};
/// Nearest odd integer: levels binary and six.
struct OddIntegers : Integers {
  BITWRIGHT_PORTABLE static float round(float value) { return 2 * round_half_even((value - 1) / 2) + 1; }
};
/// Nearest of 0 and ±2^e, e ≥ 0.
struct PowersOfTwo : Integers {
  BITWRIGHT_PORTABLE static float round(float value) {
    const float magnitude = std::fabs(value), power = float_of(bits_of(magnitude) & 0x7f800000u);
    const float rounded = magnitude < 1.0f ? (magnitude > 0.5f ? 1.0f : 0.0f) : magnitude > 1.5f * power ? 2 * power : power;
    return value < 0 ? 0.0f - rounded : rounded;
  }
};
struct E4M3 {
  BITWRIGHT_PORTABLE static float round(float value) { return round_to_e4m3(value); }
  BITWRIGHT_PORTABLE static uint8_t code(float value) { return e4m3_code(value); }
  BITWRIGHT_PORTABLE static float value(uint8_t code) { return e4m3_value(code); }
};
struct E2M1 {
  BITWRIGHT_PORTABLE static float round(float value) { return round_to_e2m1(value); }
  BITWRIGHT_PORTABLE static uint8_t code(float value) { return e2m1_code(value); }
  BITWRIGHT_PORTABLE static float value(uint8_t code) { return e2m1_value(code); }
};

struct Grid {
  enum class Scale { plain, power_of_two, largest } scale = Scale::plain;
  enum class Levels { every, ternary, binary, six, power_of_two } levels = Levels::every;
  int num_bits = 8;
  bool symmetric = true, is_float = false;
  BITWRIGHT_PORTABLE float qmin() const { return least; }
  BITWRIGHT_PORTABLE float qmax() const { return greatest; }
  BITWRIGHT_PORTABLE float range() const { return span; }
  /// What is farther out than this has no code within half a step. Behind the last float code the next one would lie as far as the one before it.
  BITWRIGHT_PORTABLE float outermost() const { return above; }
  BITWRIGHT_PORTABLE float outermost_below() const { return below; }
  /// False of levels in which every step is an error of a cell of zeros.
  BITWRIGHT_PORTABLE bool has_zero() const { return with_zero; }
  /// One code more lies one step farther, from the first to the last.
  bool has_even_steps() const { return !is_float && (levels == Levels::every || levels == Levels::ternary); }
  DType code_dtype() const { return !is_float ? DType::I8 : num_bits == 8 ? DType::F8_E4M3 : DType::U8; }

  /// The bounds that follow from the rest, once: kernels read them in their innermost loops, and a compiler that finds the choices there splits the loops by each.
  void settle() {
    const float last = std::ldexp(1.0f, num_bits - 1) - 1.0f;
    with_zero = levels != Levels::binary && levels != Levels::six;
    if (is_float) {
      greatest = num_bits == 8 ? e4m3_max : e2m1_max;
      above = num_bits == 8 ? 464.0f : 7.0f;
    } else if (levels == Levels::power_of_two) {
      greatest = std::ldexp(1.0f, num_bits - 2);
      above = 1.5f * greatest;
    } else {
      greatest = levels == Levels::every ? last : levels == Levels::six ? 5.0f : 1.0f;
      above = greatest + (with_zero ? 0.5f : 1.0f);
    }
    const bool is_symmetric_to_the_end = is_float || levels != Levels::every;
    least = is_symmetric_to_the_end ? -greatest : -last - 1.0f;
    below = is_symmetric_to_the_end ? -above : least - 0.5f;
    span = is_float ? 2 * greatest : levels == Levels::every ? greatest - least : 2 * above;
  }

 private:
  float least = -128, greatest = 127, span = 255, above = 127.5f, below = -128.5f;
  bool with_zero = true;
};

/// Calls fn with the values of a grid.
template <class Fn>
auto with_codes(const Grid& grid, Fn&& fn) {
  if (grid.levels == Grid::Levels::binary || grid.levels == Grid::Levels::six) return fn(OddIntegers{});
  if (grid.levels == Grid::Levels::power_of_two) return fn(PowersOfTwo{});
  if (!grid.is_float) return fn(Integers{});
  if (grid.num_bits == 8) return fn(E4M3{});
  return fn(E2M1{});
}

/// Scale of an MX group whose largest magnitude is `largest`, as compressed-tensors finds it in the bits of T. What T cannot hold as a power of two becomes 1.
template <class T>
BITWRIGHT_PORTABLE inline float mx_scale(const Grid& grid, float largest) {
  constexpr int mantissa = T::mantissa, offset_of[2] = {2, 8};
  const uint32_t kept = (T::bits(largest) + (1u << (mantissa - 2))) >> mantissa << mantissa;
  const float power = T::from_bits(kept);
  // A subnormal counts as 2^-127: with it no scale is above the least.
  const int exponent = std::isinf(power) ? 1000 : power > 0 ? static_cast<int>(bits_of(power) >> 23) - 127 : -1000;
  const float scale = rounded_to<T>(e8m0_value(static_cast<uint8_t>(std::clamp(127 + exponent - offset_of[grid.num_bits == 8], 0, 255))));
  return scale == 0 ? 1.0f : scale;
}

template <class T>
struct CellScale {
  float scale;
  int8_t zero_point;
};

/// NVFP4's E4M3 scale of a group under the global scale G; `local` is the largest magnitude of the group divided by 6.
BITWRIGHT_PORTABLE inline float tensor_group_scale(float G, float local) {
  const float product = G * local, scale = round_to_e4m3(product > e4m3_max ? e4m3_max : product);
  return scale == 0 ? 0.125f : scale;
}

/// NVFP4's global scale of tensors whose largest magnitude, in the dtype T of the weight, is `largest`.
template <class T>
BITWRIGHT_PORTABLE inline float global_scale_of(float largest) {
  const float G = rounded_to<T>(rounded_to<T>(1.0f / (largest < T::tiny ? T::tiny : largest)) * (e4m3_max * e2m1_max));
  return std::isfinite(G) ? G : 1.0f;
}

/// Scale of a cell of zeros. Of levels without a zero every step would be an error, so that they get the least.
template <class T>
BITWRIGHT_PORTABLE inline float least_scale(const Grid& grid) {
  return grid.has_zero() ? T::epsilon : T::tiny;
}

/// Scale and zero point of a cell with extremes mn and mx.
template <class T>
BITWRIGHT_PORTABLE inline CellScale<T> scale_of_range(const Grid& grid, float mn, float mx) {
  mn = std::min(mn, 0.0f);
  mx = std::max(mx, 0.0f);
  float scale, zero_point = 0;
  if (grid.scale == Grid::Scale::largest) return {std::max(-mn, mx), 0};
  if (grid.scale == Grid::Scale::power_of_two) return {mx_scale<T>(grid, std::max(-mn, mx)), 0};
  if (grid.symmetric) {
    scale = rounded_to<T>(std::max(-mn, mx) / (grid.range() / 2));
  } else {
    scale = rounded_to<T>(rounded_to<T>(mx - mn) / grid.range());
    zero_point = rounded_to<T>(grid.qmin() - rounded_to<T>(mn / scale));
    // An all-zero cell divides 0 by 0; its zero point is 0.
    zero_point = std::isnan(zero_point) ? 0.0f : round_half_even(std::clamp(zero_point, grid.qmin(), grid.qmax()));
  }
  if (scale == 0) scale = least_scale<T>(grid);
  return {scale, static_cast<int8_t>(zero_point)};
}

/// The code of x before clamping and rounding. Adding a zero point of 0 makes 0 of -0, as it does in compressed-tensors.
template <class T>
BITWRIGHT_PORTABLE inline float unclamped_code(float x, float scale, float zero_point) {
  return rounded_to<T>(rounded_to<T>(x / scale) + zero_point);
}

/// The value on the grid that stands for x. NaN becomes qmin: callers refuse weights that are not finite before.
template <class T, class Codes = Integers>
BITWRIGHT_PORTABLE inline float code_of(float x, float scale, float zero_point, float qmin, float qmax) {
  const float code = unclamped_code<T>(x, scale, zero_point);
  return Codes::round(code > qmin ? (code < qmax ? code : qmax) : qmin);
}

/// Which cell a weight belongs to: scale tensors are [1], [O, 1], [O, G], or for blocks [⌈O / block_rows⌉, ⌈I / block_columns⌉].
struct Cells {
  enum class Strategy { tensor, channel, group, block } strategy = Strategy::tensor;
  int64_t rows = 0, columns = 0, group_size = 0, n_groups = 1;
  /// Rows of a cell; blocks at the lower and right edge may be smaller.
  int64_t cell_rows = 1;

  /// Fills from options and a weight shape; answers a sentence when they do not fit.
  static Status from(const Options& options, const Shape& weight, Cells& cells) {
    const std::string name = options.text("strategy");
    cells.rows = weight[0];
    cells.columns = weight[1];
    if (name == "tensor") cells.strategy = Strategy::tensor;
    else if (name == "channel") cells.strategy = Strategy::channel;
    else if (name == "group" || name == "tensor_group") cells.strategy = Strategy::group;
    else if (name == "block") cells.strategy = Strategy::block;
    else return Status::error("strategy " + name + " is none of tensor, channel, group, tensor_group, block");
    cells.group_size = cells.columns;
    cells.cell_rows = cells.strategy == Strategy::tensor ? cells.rows : 1;
    if (cells.strategy == Strategy::block) {
      cells.cell_rows = options.integer("block_rows");
      cells.group_size = options.integer("block_columns");
      if (cells.cell_rows <= 0 || cells.group_size <= 0)
        return Status::error("a block of " + std::to_string(cells.cell_rows) + " × " + std::to_string(cells.group_size) + " has no weights");
      cells.n_groups = (cells.columns + cells.group_size - 1) / cells.group_size;
    }
    if (cells.strategy != Strategy::group) return Status::fine();
    cells.group_size = options.integer("group_size");
    if (cells.group_size <= 0 || cells.columns % cells.group_size != 0)
      return Status::error("group_size " + std::to_string(cells.group_size) + " does not divide " + std::to_string(cells.columns) + " columns");
    cells.n_groups = cells.columns / cells.group_size;
    return Status::fine();
  }
  Shape scale_shape() const { return strategy == Strategy::tensor ? Shape{1} : Shape{n_cell_rows(), n_groups}; }
  /// Rows of the scale tensor.
  int64_t n_cell_rows() const { return cell_rows == 0 ? 0 : (rows + cell_rows - 1) / cell_rows; }
  /// Index into the scale tensor of group `group` of row `row`.
  BITWRIGHT_PORTABLE int64_t index(int64_t row, int64_t group) const { return strategy == Strategy::tensor ? 0 : (cell_rows == 1 ? row : row / cell_rows) * n_groups + group; }
  /// Group of a column: by table, else contiguous.
  BITWRIGHT_PORTABLE int64_t group_of(int64_t column, const int32_t* g_idx) const { return g_idx != nullptr ? g_idx[column] : column / group_size; }
};

/// Fills grid.levels; a sentence where they do not fit the rest of the grid.
inline Status levels_from(const Options& options, Grid& grid) {
  const std::string name = options.text("levels");
  if (name.empty()) return Status::fine();
  if (name == "ternary") grid.levels = Grid::Levels::ternary;
  else if (name == "binary") grid.levels = Grid::Levels::binary;
  else if (name == "six") grid.levels = Grid::Levels::six;
  else if (name == "power_of_two") grid.levels = Grid::Levels::power_of_two;
  else return Status::error("levels " + name + " are none of ternary, binary, six, power_of_two");
  const int least = name == "six" ? 4 : name == "power_of_two" ? 3 : 2;
  if (grid.is_float || !grid.symmetric) return Status::error("levels " + name + " are symmetric integers");
  if (grid.num_bits < least) return Status::error("levels " + name + " need " + std::to_string(least) + " bits or more, not " + std::to_string(grid.num_bits));
  return Status::fine();
}

inline Status grid_from(const Options& options, Grid& grid) {
  grid.num_bits = static_cast<int>(options.integer("num_bits"));
  grid.symmetric = options.flag("symmetric");
  grid.is_float = options.text("type") == "float";
  if (grid.num_bits < 1 || grid.num_bits > 8) return Status::error("num_bits " + std::to_string(grid.num_bits) + " is not between 1 and 8");
  if (options.has("type") && options.text("type") != "float" && options.text("type") != "int") return Status::error("type " + options.text("type") + " is neither int nor float");
  if (grid.is_float && grid.num_bits != 8 && grid.num_bits != 4) return Status::error("floats have 4 or 8 bits, not " + std::to_string(grid.num_bits));
  if (grid.is_float && !grid.symmetric) return Status::error("floats are symmetric");
  if (options.text("strategy") == "tensor_group") grid.scale = Grid::Scale::largest;
  if (options.flag("mx")) grid.scale = Grid::Scale::power_of_two;
  if (grid.scale != Grid::Scale::plain && !grid.is_float) return Status::error("strategy tensor_group and MX scales are for floats");
  Status status = levels_from(options, grid);
  grid.settle();
  return status;
}

/// infer of what reckons with codes one step apart.
inline Status check_even_steps(const Options& options) {
  Grid grid;
  if (Status status = grid_from(options, grid); !status.ok()) return status;
  return grid.is_float || grid.has_even_steps() ? Status::fine() : Status::error("levels " + options.text("levels") + " are not one step apart, as the codes of this method are");
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

/// A weight is divided by scales of its own type, or by F32 ones, which are wider: the arithmetic is that of the scale, as PyTorch promotes.
inline bool divides(DType scale, DType weight) { return is_weight(weight) && (scale == weight || scale == DType::F32); }

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
