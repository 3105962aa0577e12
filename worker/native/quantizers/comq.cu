// COMQ on a CUDA device: legend in comq.cc. V, D and B stand transposed, [I × padded rows]. A pass walks blocks of 128 columns in solving order (column-walk.cuh); what a block
// changes reaches all of D by one matrix product in F32, whose rows of H are gathered before. The scale follows from sums over columns in double.
// Floor: 2 I² · O operations per pass and as many for B, at the rate of F32 products. Columns whose codes stay are not passed over as on the processor.
// Beside inputs and results: four matrices and codes, 17 O · I + 512 (O + I) bytes; with groups 13 O · I.
#include "cuda/columns.cuh"
#include "quantizers/column-walk.cuh"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

struct Comq {
  static constexpr int n_panels = 1, n_staged = 3;
  struct Row {};
  Cells cells;
  const float* scale;  // F32, moves with the passes
  const int8_t* zero_point;
  const uint8_t* dead;
  /// [O, I], 1 where the weight is to be zero; or null.
  const uint8_t* kept;
  float* V;
  /// What the values of the block change by.
  float* changes;
  int8_t* Qt;
  int64_t padded;
  float qmin, qmax;

  __device__ Row row(int64_t) const { return {}; }
  __device__ void leave(int64_t, const Row&) const {}
  __device__ bool skips(int64_t column) const { return dead[column] != 0; }
  __device__ int64_t index(int64_t row, int64_t column) const { return cells.index(row < cells.rows ? row : cells.rows - 1, cells.group_of(column, nullptr)); }
  __device__ float stage(int i, const Place& at) const {
    if (i == 0) return V[at.column * padded + at.row];
    return i == 1 ? scale[index(at.row, at.column)] : static_cast<float>(zero_point[index(at.row, at.column)]);
  }
  __device__ Step<1> step(Row&, const Place& at, bool skipped, float d, const float* staged, const float* diagonals) const {
    const float v = staged[0], s = staged[1], z = staged[2];
    const bool is_kept = kept != nullptr && at.row < cells.rows && kept[at.row * cells.columns + at.column] != 0;
    const float target = skipped || is_kept ? z : (v + d / diagonals[0]) / s + z;
    const float code = round_half_even(target > qmin ? (target < qmax ? target : qmax) : qmin), value = (code - z) * s;
    // A dead column is zero from the beginning.
    const float change = skipped ? 0.0f : v - value;
    Qt[at.column * padded + at.row] = static_cast<int8_t>(code);
    V[at.column * padded + at.row] = skipped ? 0.0f : value;
    changes[at.k * padded + at.row] = change;
    return {{change}};
  }
};

struct Products {
  double target, rest;
};
struct AddProducts {
  __device__ Products operator()(const Products& a, const Products& b) const { return {a.target + b.target, a.rest + b.rest}; }
};

/// Columns by ‖x_t‖² ‖w_:t‖² descending, dead ones last.
void find_order(Context& context, const TensorView& weight, const float* H, const uint8_t* dead, int32_t* order) {
  const int64_t O = weight.extent(0), I = weight.extent(1);
  const AnyFloat w(weight);
  const Scratch<double> sums = context.scratch<double>(I);
  double* norms = sums.data();
  for_columns(
      context, O, I, 0.0,
      [=] __device__(int64_t row, int64_t column) {
        const double value = w.value(row * I + column);
        return value * value;
      },
      Sum{},
      [=] __device__(int64_t column, double sum) {
        const double norm = sum * static_cast<double>(H[column * I + column]);
        // What is no number has a place too, so that every column has one; the error of its row is told.
        norms[column] = dead[column] != 0 ? -1.0 : isnan(norm) ? INFINITY : norm;
      });
  for_each(context, I, [=] __device__(int64_t i) {
    int64_t place = 0;
    for (int64_t j = 0; j < I; ++j) place += norms[j] > norms[i] || (norms[j] == norms[i] && j < i);
    order[place] = static_cast<int32_t>(i);
  });
}

/// scale += scale · vᵀd / vᵀHv of every row, and what follows from it: D = H (w - v) and V.
void follow_scale(Context& context, int64_t O, int64_t I, int64_t padded, const float* B, float* V, float* D, float* scale, float* ratios) {
  for_columns(
      context, I, padded, Products{0, 0},
      [=] __device__(int64_t t, int64_t row) {
        const double v = V[t * padded + row];
        return Products{v * static_cast<double>(B[t * padded + row]), v * static_cast<double>(D[t * padded + row])};
      },
      AddProducts{},
      [=] __device__(int64_t row, Products sums) {
        const double norm = sums.target - sums.rest;
        const float ratio = norm > 0 && sums.target > 0 ? static_cast<float>(sums.target / norm) : 1.0f;
        ratios[row] = ratio;
        if (row < O) scale[row] *= ratio;
      });
  for_rows(context, I, padded, [=] __device__(int64_t t, int64_t row) {
    const int64_t i = t * padded + row;
    D[i] = B[i] - ratios[row] * (B[i] - D[i]);
    V[i] *= ratios[row];
  });
}

template <class T>
void store_scales(Context& context, const TensorView& observed, const TensorView& result, const float* scale) {
  const auto* from = observed.as<typename T::Stored>();
  auto* to = result.as<typename T::Stored>();
  for_each(context, observed.count(), [=] __device__(int64_t i) {
    const float stored = rounded_to<T>(scale[i]);
    to[i] = stored > 0 && isfinite(stored) ? T::store(stored) : from[i];
  });
}

}  // namespace

void quantize_comq(Context& context, const Views& in, const Views& out, const Options& options) {
  Comq method{};
  Grid grid;
  (void)Cells::from(options, in[0].shape, method.cells);
  (void)grid_from(options, grid);
  const int64_t O = method.cells.rows, I = method.cells.columns, padded = padded_rows(O), n_iters = options.integer("n_iters"), n_scales = in[2].count(), size = I * padded;
  const float* H = in[1].as<float>();
  check_diagonal(context, H, I);
  if (O == 0 || I == 0) return;
  const bool follows = method.cells.n_groups == 1;
  const Scratch<float> scales = context.scratch<float>(n_scales), ratios = context.scratch<float>(padded), weights = context.scratch<float>(size), values = context.scratch<float>(size), rest = context.scratch<float>(size),
                       products = context.scratch<float>(follows ? size : 1), changes = context.scratch<float>(walk_columns * padded), gathered = context.scratch<float>(walk_columns * I),
                       panel = context.scratch<float>(walk_columns * walk_columns);
  const Scratch<int8_t> codes = context.scratch<int8_t>(size);
  const Scratch<uint8_t> flags = context.scratch<uint8_t>(I);
  const Scratch<int32_t> places = context.scratch<int32_t>(I);
  float *scale = scales.data(), *Wt = weights.data(), *V = values.data(), *D = rest.data(), *B = products.data(), *H_rows = gathered.data(), *H_block = panel.data();
  uint8_t* dead = flags.data();
  int32_t* order = places.data();
  const AnyFloat observed(in[2]);
  for_each(context, n_scales, [=] __device__(int64_t i) { scale[i] = observed.value(i); });
  for_each(context, I, [=] __device__(int64_t i) { dead[i] = !(H[i * I + i] > 0); });
  find_order(context, in[0], H, dead, order);
  method.scale = scale;
  method.zero_point = in[3].as<int8_t>();
  method.dead = dead;
  method.kept = in[4].present ? in[4].as<uint8_t>() : nullptr;
  method.V = V;
  method.changes = changes.data();
  method.Qt = codes.data();
  method.padded = padded;
  method.qmin = grid.qmin();
  method.qmax = grid.qmax();
  transpose_weight(context, in[0], padded, nullptr, dead, Wt);
  for_each(context, size, [=] __device__(int64_t i) { V[i] = Wt[i]; });
  context.clear(D, size * static_cast<int64_t>(sizeof(float)));
  // B = H w is needed for the scale alone.
  if (follows) context.gemm(DType::F32, true, false, I, padded, I, 1, H, I, Wt, padded, 0, B, padded);
  for (int64_t pass = 0; pass < n_iters; ++pass) {
    for (int64_t begin = 0; begin < I; begin += walk_columns) {
      context.step();
      const int64_t count = std::min<int64_t>(walk_columns, I - begin);
      for_rows(context, count, I, [=] __device__(int64_t s, int64_t k) { H_rows[s * I + k] = H[inside(order[begin + s], I) * I + k]; });
      for_rows(context, count, count, [=] __device__(int64_t s, int64_t k) { H_block[s * walk_columns + k] = H_rows[s * I + inside(order[begin + k], I)]; });
      walk_columns_of(context, {D, order, {H_block, nullptr}, walk_columns, padded, I, begin, static_cast<int>(count)}, method);
      context.gemm(DType::F32, true, false, I, padded, count, 1, H_rows, I, method.changes, padded, 1, D, padded);
    }
    if (follows) follow_scale(context, O, I, padded, B, V, D, scale, ratios.data());
  }
  store_codes(context, method.Qt, I, padded, out[0].as<int8_t>(), O, I, 0);
  with_weight_type(in[2].dtype, [&](auto type) { store_scales<decltype(type)>(context, in[2], out[1], scale); });
  FaultSlot* slot = context.fault([](uint32_t row, uint32_t bits) {
    return "the error of row " + std::to_string(row) + " is " + std::to_string(float_of(bits)) + ": its weights, its scales or the Hessian are not finite";
  });
  double* errors = out[2].as<double>();
  for_columns(
      context, I, padded, 0.0, [=] __device__(int64_t t, int64_t row) { return (static_cast<double>(Wt[t * padded + row] - V[t * padded + row])) * static_cast<double>(D[t * padded + row]); }, Sum{},
      [=] __device__(int64_t row, double error) {
        if (row >= O) return;
        errors[row] = error;
        if (!isfinite(error)) report(slot, row, bits_of(static_cast<float>(error)));
      });
}

}  // namespace bitwright::cuda
