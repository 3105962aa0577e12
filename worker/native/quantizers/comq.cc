// COMQ: minimize ‖XW - XŴ‖² along one code after the other, then along the scale, as often as asked.
// Zhang et al., "COMQ: A Backpropagation-Free Algorithm for Post-Training Quantization", arXiv 2403.07134.
//
//   paper   here     shape   meaning
//   W       w        I       weights of a row
//   δ q     v        I       ŵ = scale · (q - zero_point); before its first turn a column has v = w
//   XᵀX     H        I × I   Gram matrix of the inputs
//   –       d        I       H (w - v): ⟨x_t, X (w - v)⟩ of every column, kept up to date instead of the residual
//   δ       scale    1       per channel it follows from the codes behind every pass: scale += scale · vᵀd / vᵀHv
//   K       n_iters  –       passes over all columns
//   –       kept     O × I   where the mask says so the weight is zero, and no code is chosen
//
//   for t in order:  q_t = round(clamp((v_t + d_t / H_tt) / scale + zero_point));  d -= H_:t (v_t' - v_t)
//
// Differences from the paper: one order of columns for all rows, by ‖x_t‖ · ‖w_:t‖ descending, where the paper sorts each row by ‖x_t‖ |w_t| (greedy); so the
// update of a column is one row of H for 16 rows of W. With groups the scales stay those of the observer. Grid and zero point are the scheme's.
// Cost: 2 I² per row and pass at most (columns whose codes stay cost nothing), no inverse.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/vector-math.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"
#include "quantizers/row-tile.h"
#include "quantizers/solver-inputs.h"

namespace bitwright {
namespace {

/// The codes of one column of 16 rows, and what their values change by.
BITWRIGHT_VECTOR void choose_codes(float* v, const float* d, float h, const float* scale, const float* zero_point, const float* kept, float qmin, float qmax, float* codes, float* delta) {
  for (int64_t r = 0; r < row_lanes; ++r) {
    const float target = (v[r] + d[r] / h) / scale[r] + zero_point[r];
    const float chosen = round_half_even(target > qmin ? (target < qmax ? target : qmax) : qmin), code = kept[r] > 0 ? zero_point[r] : chosen, value = (code - zero_point[r]) * scale[r];
    codes[r] = code;
    delta[r] = v[r] - value;
    v[r] = value;
  }
}

struct Layer {
  const Views& in;
  const Views& out;
  Cells cells;
  Grid grid;
  int64_t n_iters;
  /// Columns in solving order, without those that are dead.
  std::vector<int64_t> order;
};

/// Columns by ‖x_t‖² ‖w_:t‖² descending; dead ones are left out.
std::vector<int64_t> solving_order(const float* H, const float* w, int64_t O, int64_t I) {
  std::vector<double> norms(static_cast<size_t>(I));
  for (int64_t r = 0; r < O; ++r)
    for (int64_t t = 0; t < I; ++t) norms[static_cast<size_t>(t)] += static_cast<double>(w[r * I + t]) * static_cast<double>(w[r * I + t]);
  for (int64_t t = 0; t < I; ++t) norms[static_cast<size_t>(t)] *= static_cast<double>(H[t * I + t]);
  std::vector<int64_t> order;
  for (int64_t t = 0; t < I; ++t)
    if (H[t * I + t] > 0) order.push_back(t);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return norms[static_cast<size_t>(a)] > norms[static_cast<size_t>(b)]; });
  return order;
}

void solve_tile(const Layer& layer, const float* weights, int64_t first_row) {
  const int64_t I = layer.cells.columns, n_rows = std::min(row_lanes, layer.cells.rows - first_row), n_groups = layer.cells.n_groups;
  const float* H = layer.in[1].as<float>();
  const uint8_t* const kept = layer.in[4].present ? layer.in[4].as<uint8_t>() : nullptr;
  static thread_local std::vector<float> buffer;
  buffer.assign(static_cast<size_t>((4 * I + 2 * n_groups) * row_lanes), 0.0f);
  float *v = buffer.data(), *d = v + I * row_lanes, *b = d + I * row_lanes, *codes = b + I * row_lanes, *scales = codes + I * row_lanes, *zero_points = scales + n_groups * row_lanes;
  for (int64_t g = 0; g < n_groups; ++g)
    for (int64_t r = 0; r < row_lanes; ++r) {
      const int64_t index = layer.cells.index(first_row + std::min(r, n_rows - 1), g);
      with_weight_type(layer.in[2].dtype, [&](auto type) { scales[g * row_lanes + r] = decltype(type)::load(layer.in[2].as<typename decltype(type)::Stored>()[index]); });
      zero_points[g * row_lanes + r] = static_cast<float>(layer.in[3].as<int8_t>()[index]);
    }
  for (int64_t t : layer.order)
    for (int64_t r = 0; r < n_rows; ++r) v[t * row_lanes + r] = weights[(first_row + r) * I + t];
  const bool follows = n_groups == 1;
  // b = H w is needed for the scale alone.
  if (follows)
    for (int64_t t : layer.order) add_columns(b, 0, I, H + t * I, I, 1, v + t * row_lanes);
  double* errors = layer.out[2].as<double>();
  for (int64_t pass = 0; pass < layer.n_iters; ++pass) {
    for (int64_t t : layer.order) {
      const int64_t g = t / layer.cells.group_size;
      float delta[row_lanes], is_kept[row_lanes] = {};
      for (int64_t r = 0; r < n_rows && kept != nullptr; ++r) is_kept[r] = kept[(first_row + r) * I + t] != 0 ? 1.0f : 0.0f;
      choose_codes(v + t * row_lanes, d + t * row_lanes, H[t * I + t], scales + g * row_lanes, zero_points + g * row_lanes, is_kept, layer.grid.qmin(), layer.grid.qmax(), codes + t * row_lanes, delta);
      if (std::any_of(delta, delta + row_lanes, [](float value) { return value != 0; })) add_columns(d, 0, I, H + t * I, I, 1, delta);
    }
    if (!follows) continue;
    // ⟨Xw, Xv⟩ and ‖Xv‖² = vᵀ (b - d); the values and d move with the scale.
    double with_target[row_lanes], with_rest[row_lanes];
    inner_products(v, b, I, with_target);
    inner_products(v, d, I, with_rest);
    for (int64_t r = 0; r < row_lanes; ++r) {
      const double norm = with_target[r] - with_rest[r];
      const float ratio = norm > 0 && with_target[r] > 0 ? static_cast<float>(with_target[r] / norm) : 1.0f;
      scales[r] *= ratio;
      for (int64_t t = 0; t < I; ++t) {
        d[t * row_lanes + r] = b[t * row_lanes + r] - ratio * (b[t * row_lanes + r] - d[t * row_lanes + r]);
        v[t * row_lanes + r] *= ratio;
      }
    }
  }
  for (int64_t r = 0; r < n_rows; ++r) {
    double error = 0;
    for (int64_t t = 0; t < I; ++t) {
      const float w = H[t * I + t] > 0 ? weights[(first_row + r) * I + t] : 0.0f, code = H[t * I + t] > 0 ? codes[t * row_lanes + r] : zero_points[t / layer.cells.group_size * row_lanes + r];
      error += static_cast<double>(w - v[t * row_lanes + r]) * static_cast<double>(d[t * row_lanes + r]);
      layer.out[0].as<int8_t>()[(first_row + r) * I + t] = std::isfinite(code) ? static_cast<int8_t>(code) : int8_t{0};
    }
    errors[first_row + r] = error;
    for (int64_t g = 0; g < n_groups; ++g)
      with_weight_type(layer.in[2].dtype, [&](auto type) {
        using T = decltype(type);
        const int64_t index = layer.cells.index(first_row + r, g);
        const float stored = rounded_to<T>(scales[g * row_lanes + r]);
        layer.out[1].as<typename T::Stored>()[index] = stored > 0 && std::isfinite(stored) ? T::store(stored) : layer.in[2].as<typename T::Stored>()[index];
      });
  }
}

}  // namespace

Operation quantize_comq_operation() {
  return {"quantize_comq",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 5) return mismatch("weight, H, scale, zero_point, kept", in);
            Cells cells;
            if (Status status = check_integers(in, options, 2, cells); !status.ok()) return status;
            const int64_t I = cells.columns;
            if (cells.strategy != Cells::Strategy::channel && cells.strategy != Cells::Strategy::group) return Status::error("a row is solved with scales of its own: strategy channel or group, not " + options.text("strategy"));
            if (!has_zero_points(in, 2) || !is_square(in[1], I) || !is_mask(in[4], in[0])) return mismatch("weight [O, I], H F32 [I, I], scale, zero_point I8, kept U8 [O, I] or none", in);
            const int64_t n_iters = options.integer("n_iters");
            if (n_iters < 1 || n_iters > 1000) return Status::error("n_iters " + std::to_string(n_iters) + " is not between 1 and 1000");
            out = {{DType::I8, in[0].shape}, in[2], {DType::F64, {cells.rows}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Layer layer{in, out, {}, {}, options.integer("n_iters"), {}};
            (void)Cells::from(options, in[0].shape, layer.cells);
            (void)grid_from(options, layer.grid);
            const int64_t O = layer.cells.rows, I = layer.cells.columns;
            const float* H = in[1].as<float>();
            for (int64_t i = 0; i < I; ++i)
              if (!std::isfinite(H[i * I + i]) || H[i * I + i] < 0) return Status::error("diag(H) at column " + std::to_string(i) + " is " + std::to_string(H[i * I + i]));
            const FloatView weight(in[0]);
            layer.order = solving_order(H, weight.data(), O, I);
            context.pool.parallel_for((O + row_lanes - 1) / row_lanes, [&](int64_t t) {
              if (!context.cancelled()) solve_tile(layer, weight.data(), t * row_lanes);
            });
            if (context.cancelled()) return Status::cancelled();
            for (int64_t r = 0; r < O; ++r)
              if (const double error = out[2].as<double>()[r]; !std::isfinite(error)) return Status::error("the error of row " + std::to_string(r) + " is " + std::to_string(error) + ": its weights, its scales or the Hessian are not finite");
            return Status::fine();
          }};
}

}  // namespace bitwright
