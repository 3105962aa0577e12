// Greedy path following on a CUDA device: legend in gpfq.cc. Blocks of 128 columns are walked as column-walk.cuh has it, P behind the block is updated by two matrix products
// in F32, by one where both inputs are the same (P += H (w - v)).
// Floor: 2 I² · O operations (I² · O without C) at the rate of F32 products, or 3 bytes a BF16 weight.
// Beside inputs and results: weights, P, values of a block and codes, 9 O · I + 512 O bytes.
#include "quantizers/column-walk.cuh"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

template <bool has_cross>
struct Gpfq {
  static constexpr int n_panels = has_cross ? 2 : 1, n_staged = 3;
  struct Row {};
  Cells cells;
  const float *Wt, *scale;
  const int8_t* zero_point;
  const float* H;
  /// [O, I], 1 where the weight is to be zero; or null.
  const uint8_t* kept;
  /// v of the block, or w - v where P is changed by both at once.
  float* V;
  int8_t* Qt;
  FaultSlot* slot;
  int64_t padded;
  float qmin, qmax;

  __device__ Row row(int64_t) const { return {}; }
  __device__ void leave(int64_t, const Row&) const {}
  // A column whose input is always zero says nothing about its code: zero.
  __device__ bool skips(int64_t column) const { return !(H[column * cells.columns + column] > 0); }
  __device__ float stage(int i, const Place& at) const {
    if (i == 0) return Wt[at.column * padded + at.row];
    const int64_t index = cells.index(at.row < cells.rows ? at.row : cells.rows - 1, cells.group_of(at.column, nullptr));
    return i == 1 ? scale[index] : static_cast<float>(zero_point[index]);
  }
  __device__ Step<n_panels> step(Row&, const Place& at, bool skipped, float p, const float* staged, const float* diagonals) const {
    const float w = staged[0], s = staged[1], z = staged[2], h = diagonals[n_panels - 1];
    const bool is_kept = kept != nullptr && at.row < cells.rows && kept[at.row * cells.columns + at.column] != 0;
    const float target = skipped || is_kept ? 0.0f : (p + w * diagonals[0]) / h;
    if (at.row < cells.rows && (!isfinite(target) || !isfinite(s))) report(slot, at.row, 0);
    const float code = code_of<F32Type, Integers>(target, s, z, qmin, qmax), v = (code - z) * s;
    Qt[at.column * padded + at.row] = static_cast<int8_t>(code);
    V[at.k * padded + at.row] = has_cross ? v : w - v;
    if constexpr (has_cross) return {{w, -v}};
    else return {{w - v}};
  }
};

template <bool has_cross>
void walk_layer(Context& context, const Views& in, const Views& out, const Options& options) {
  Gpfq<has_cross> method{};
  Grid grid;
  (void)Cells::from(options, in[0].shape, method.cells);
  (void)grid_from(options, grid);
  const int64_t O = method.cells.rows, I = method.cells.columns, padded = padded_rows(O);
  const float *H = in[1].as<float>(), *C = has_cross ? in[2].as<float>() : H;
  check_diagonal(context, H, I);
  if (O == 0 || I == 0) return;
  const FloatCopy scale(context, in[3]);
  const Scratch<float> weights = context.scratch<float>(I * padded), statistics = context.scratch<float>(I * padded), values = context.scratch<float>(walk_columns * padded);
  const Scratch<int8_t> codes = context.scratch<int8_t>(I * padded);
  float* P = statistics.data();
  method.Wt = weights.data();
  method.scale = scale.data();
  method.zero_point = in[4].as<int8_t>();
  method.H = H;
  method.kept = in[5].present ? in[5].as<uint8_t>() : nullptr;
  method.V = values.data();
  method.Qt = codes.data();
  method.padded = padded;
  method.qmin = grid.qmin();
  method.qmax = grid.qmax();
  method.slot = context.fault([](uint32_t row, uint32_t) { return "row " + std::to_string(row) + " reaches values that are not finite: its weights, its scales or the Gram matrices are not"; });
  transpose_weight(context, in[0], padded, nullptr, nullptr, weights.data());
  context.clear(P, I * padded * static_cast<int64_t>(sizeof(float)));
  for (int64_t begin = 0; begin < I; begin += walk_columns) {
    context.step();
    const int64_t end = std::min<int64_t>(I, begin + walk_columns), count = end - begin;
    const float *H_block = H + begin * I, *C_block = C + begin * I;
    walk_columns_of(context, {P, nullptr, {C_block + begin, H_block + begin}, I, padded, I, begin, static_cast<int>(count)}, method);
    if (has_cross) context.gemm(DType::F32, true, false, I - end, padded, count, 1, C_block + end, I, method.Wt + begin * padded, padded, 1, P + end * padded, padded);
    context.gemm(DType::F32, true, false, I - end, padded, count, has_cross ? -1 : 1, H_block + end, I, method.V, padded, 1, P + end * padded, padded);
  }
  store_codes(context, method.Qt, I, padded, out[0].as<int8_t>(), O, I, 0);
}

}  // namespace

void quantize_gpfq(Context& context, const Views& in, const Views& out, const Options& options) {
  if (in[2].present) walk_layer<true>(context, in, out, options);
  else walk_layer<false>(context, in, out, options);
}

}  // namespace bitwright::cuda
