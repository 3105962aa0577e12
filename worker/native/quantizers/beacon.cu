// Beacon over all rows of a weight on a CUDA device: legend in beacon.h. Cells one after the other, all rows side by side (beacon-cell.cu); with groups the error
// of each is spread over the columns behind it, see beacon.cc.
// Floor at the rate of F32 products: per channel 4 I² · O operations for the start and 2 I² · O for a sweep; with groups of m columns 2 I · O · m of each and I² · O for what is behind.
// Columns whose codes stay are not passed over as on the processor; a cell that has settled is left, which is looked for behind every 8 sweeps.
#include "cuda/columns.cuh"
#include "quantizers/beacon.cuh"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

/// One column of M and one of its group: x = U⁻¹ e_j, from its diagonal up.
__global__ void __launch_bounds__(128) invert_columns(const float* U, int64_t n_columns, int64_t m, double* inverse) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= n_columns) return;
  const int64_t group = column / m, j = column % m, first = group * m;
  double* x = inverse + group * m * m;
  for (int64_t i = m - 1; i > j; --i) x[i * m + j] = 0;
  for (int64_t i = j; i >= 0; --i) {
    const float* row = U + (first + i) * n_columns + first;
    double sum = i == j ? 1.0 : 0.0;
    for (int64_t k = i + 1; k <= j; ++k) sum -= static_cast<double>(row[k]) * x[k * m + j];
    x[i * m + j] = sum / static_cast<double>(row[i]);
  }
}

/// What a call has beside its cells.
struct Layer {
  const Views& in;
  const Views& out;
  int64_t n_sweeps;
  bool moves_zero_point;
};

/// unit, zero point and, where there are codes to begin with, a.
void begin_cell(Context& context, const Layer& layer, const BeaconCell& cell) {
  const AnyFloat observed(layer.in[3]);
  const int8_t *zero_point = layer.in[4].as<int8_t>(), *codes = layer.in[6].present ? layer.in[6].as<int8_t>() : nullptr;
  const Cells cells = cell.cells;
  for_each(context, cell.padded, [=] __device__(int64_t row) {
    const int64_t index = cells.index(row, cell.group);
    cell.unit[row] = row < cells.rows ? observed.value(index) : 1.0f;
    cell.zero_point[row] = row < cells.rows ? static_cast<float>(zero_point[index]) : 0.0f;
  });
  if (codes != nullptr) {
    for_rows(context, cell.m, cell.padded, [=] __device__(int64_t k, int64_t row) {
      cell.a[k * cell.padded + row] = row < cells.rows && !cell.is_pinned(k) ? static_cast<float>(codes[row * cells.columns + cell.first + k]) - cell.zero_point[row] : 0.0f;
    });
  } else if (layer.moves_zero_point) {
    // The mean of the weights stands in the middle of the grid (centering).
    for_columns(
        context, cell.m, cell.padded, 0.0, [=] __device__(int64_t k, int64_t row) { return static_cast<double>(cell.w[k * cell.padded + row]); }, Sum{},
        [=] __device__(int64_t row, double sum) {
          const float mean = static_cast<float>(sum / static_cast<double>(cell.m)), middle = (cell.qmin + cell.qmax) / 2, wanted = round_half_even(middle - mean / cell.unit[row]);
          if (row < cells.rows) cell.zero_point[row] = wanted < cell.qmin ? cell.qmin : cell.qmax < wanted ? cell.qmax : wanted;
        });
  }
}

/// Adds what is explained to the objective of sweeps [sweep, end).
void tell_objective(Context& context, const Layer& layer, const BeaconCell& cell, int64_t sweep, int64_t end) {
  double* objective = layer.out[3].as<double>();
  const int64_t width = layer.n_sweeps + 1;
  for_each(context, cell.cells.rows, [=] __device__(int64_t row) {
    for (int64_t k = sweep; k < end; ++k) objective[row * width + k] += cell.explained[row];
  });
}

/// Scales, zero points and codes; E ← w - ŵ for the columns behind, where it is asked for.
template <class T>
void end_cell(Context& context, const Layer& layer, const BeaconCell& cell, int8_t* Qt, float* E) {
  auto* scale = layer.out[1].as<typename T::Stored>();
  int8_t* zero_point = layer.out[2].as<int8_t>();
  float* found = cell.zero_step;
  for_each(context, cell.padded, [=] __device__(int64_t row) {
    found[row] = 0;
    if (row >= cell.cells.rows) return;
    const int64_t index = cell.cells.index(row, cell.group);
    // Where the codes say nothing, or less than the type holds, the observer's stays.
    const float rounded = rounded_to<T>(static_cast<float>(cell.scale[row])), stored = isfinite(rounded) && rounded > 0 ? rounded : cell.unit[row];
    scale[index] = T::store(stored);
    found[row] = stored;
    const float z = cell.zero_point[row];
    zero_point[index] = isfinite(z) ? static_cast<int8_t>(z) : int8_t{0};
  });
  for_rows(context, cell.m, cell.padded, [=] __device__(int64_t k, int64_t row) {
    const int64_t i = k * cell.padded + row;
    // A NaN, which the objective tells, becomes some code.
    const float code = cell.a[i] + cell.zero_point[row], least = code > -128.0f ? code : -128.0f;
    Qt[i] = static_cast<int8_t>(static_cast<int32_t>(least < 127.0f ? least : 127.0f));
    if (E != nullptr) E[i] = cell.w[i] - rounded_to<T>(cell.a[i] * found[row]);
  });
  store_codes(context, Qt, cell.m, cell.padded, layer.out[0].as<int8_t>(), cell.cells.rows, cell.cells.columns, cell.first);
}

void solve_cell(Context& context, const Layer& layer, const BeaconCell& cell, int8_t* Qt, float* E) {
  begin_cell(context, layer, cell);
  if (cell.column_sums != nullptr) sum_columns(context, cell);
  if (layer.in[6].present) resume_cell(context, cell);
  else start_cell(context, cell);
  tell_objective(context, layer, cell, 0, 1);
  constexpr int64_t n_between = 8;
  for (int64_t sweep = 1; sweep <= layer.n_sweeps; ++sweep) {
    const bool is_looked_at = sweep % n_between == 0 && sweep < layer.n_sweeps;
    if (is_looked_at) context.clear(cell.changed, sizeof(int32_t));
    sweep_cell(context, cell);
    int32_t changed = 1;
    if (is_looked_at) context.read(&changed, cell.changed, sizeof changed);
    tell_objective(context, layer, cell, sweep, changed != 0 ? sweep + 1 : layer.n_sweeps + 1);
    if (changed == 0) break;
  }
  with_weight_type(layer.in[3].dtype, [&](auto type) { end_cell<decltype(type)>(context, layer, cell, Qt, E); });
}

void solve_groups(Context& context, const Layer& layer, BeaconCell cell, float* Wt, const uint8_t* dead, int8_t* Qt) {
  const int64_t m = cell.m, padded = cell.padded, I = cell.cells.columns, n_groups = cell.cells.n_groups;
  const float* U = layer.in[2].as<float>();
  // (w - ŵ) M for all rows, or M U_g,behind for all columns behind: the smaller of the two.
  const bool spreads_rows = padded < I / 2;
  const Scratch<float> inverses = context.scratch<float>(n_groups * m * m), metrics = context.scratch<float>(n_groups * m * m), errors = context.scratch<float>(m * padded),
                       products = context.scratch<float>(m * (spreads_rows ? padded : I));
  group_metrics(context, U, I, m, inverses.data(), metrics.data());
  for (int64_t group = 0; group < n_groups; ++group) {
    const int64_t first = group * m, behind = first + m;
    cell.group = group;
    cell.first = first;
    cell.S = metrics.data() + group * m * m;
    cell.w = Wt + first * padded;
    cell.pinned = dead != nullptr ? dead + first : nullptr;
    solve_cell(context, layer, cell, Qt, errors.data());
    if (behind == I) break;
    const float *M = inverses.data() + group * m * m, *U_behind = U + first * I + behind;
    float *product = products.data(), *W_behind = Wt + behind * padded;
    if (spreads_rows) {
      context.gemm(DType::F32, true, false, m, padded, m, 1, M, m, errors.data(), padded, 0, product, padded);
      context.gemm(DType::F32, true, false, I - behind, padded, m, -1, U_behind, I, product, padded, 1, W_behind, padded);
    } else {
      context.gemm(DType::F32, false, false, m, I - behind, m, 1, M, m, U_behind, I, 0, product, I);
      context.gemm(DType::F32, true, false, I - behind, padded, m, -1, product, I, errors.data(), padded, 1, W_behind, padded);
    }
  }
}

}  // namespace

void group_metrics(Context& context, const float* U, int64_t n_columns, int64_t m, float* M, float* S) {
  const int64_t size = n_columns * m;
  const Scratch<double> inverses = context.scratch<double>(size);
  const double* inverse = inverses.data();
  launch(context, static_cast<unsigned>((n_columns + 127) / 128), 128, 0, invert_columns, U, n_columns, m, inverses.data());
  for_rows(context, n_columns, m, [=] __device__(int64_t at, int64_t j) {
    const int64_t i = at % m, group = at / m;
    const double* x = inverse + group * m * m;
    double sum = 0;
    for (int64_t k = i > j ? i : j; k < m; ++k) sum += x[i * m + k] * x[j * m + k];
    S[at * m + j] = static_cast<float>(sum);
    M[at * m + j] = static_cast<float>(x[i * m + j]);
  });
}

void quantize_beacon(Context& context, const Views& in, const Views& out, const Options& options) {
  BeaconCell cell{};
  Grid grid;
  (void)Cells::from(options, in[0].shape, cell.cells);
  (void)grid_from(options, grid);
  const Layer layer{in, out, options.integer("n_sweeps"), !grid.symmetric && options.flag("centering")};
  const int64_t O = cell.cells.rows, I = cell.cells.columns, m = cell.cells.group_size, padded = padded_rows(O);
  const float* H = in[1].as<float>();
  check_diagonal(context, H, I);
  context.clear(out[3].data, out[3].bytes());
  if (O == 0 || I == 0) return;
  const uint8_t* dead = in[5].present ? in[5].as<uint8_t>() : nullptr;
  const Scratch<float> weights = context.scratch<float>(I * padded), a = context.scratch<float>(m * padded), b = context.scratch<float>(m * padded), e = context.scratch<float>(m * padded),
                       blocks = context.scratch<float>(2 * walk_columns * padded), per_row = context.scratch<float>(5 * padded), sums = context.scratch<float>(m);
  const Scratch<double> doubles = context.scratch<double>(2 * padded + 1);
  const Scratch<int8_t> codes = context.scratch<int8_t>(m * padded);
  const Scratch<int32_t> flag = context.scratch<int32_t>(1);
  float* Wt = weights.data();
  transpose_weight(context, in[0], padded, nullptr, dead, Wt);
  cell.m = m;
  cell.ld = cell.cells.n_groups > 1 ? m : I;
  cell.padded = padded;
  cell.S = H;
  cell.w = Wt;
  cell.pinned = dead;
  cell.column_sums = layer.moves_zero_point ? sums.data() : nullptr;
  cell.a = a.data();
  cell.b = b.data();
  cell.e = e.data();
  cell.prefix = blocks.data();
  cell.changes = cell.prefix + walk_columns * padded;
  cell.unit = per_row.data();
  cell.zero_point = cell.unit + padded;
  cell.B = cell.zero_point + padded;
  cell.D = cell.B + padded;
  cell.zero_step = cell.D + padded;
  cell.explained = doubles.data();
  cell.scale = cell.explained + padded;
  cell.total = cell.scale + padded;
  cell.changed = flag.data();
  cell.qmin = grid.qmin();
  cell.qmax = grid.qmax();
  if (cell.cells.n_groups > 1) solve_groups(context, layer, cell, Wt, dead, codes.data());
  else solve_cell(context, layer, cell, codes.data(), nullptr);
  FaultSlot* slot = context.fault([](uint32_t row, uint32_t bits) {
    return "the objective of row " + std::to_string(row) + " is " + std::to_string(float_of(bits)) + ": its weights, its scales or the Hessian are not finite";
  });
  const double* objective = out[3].as<double>();
  const int64_t n_sweeps = layer.n_sweeps;
  for_each(context, O, [=] __device__(int64_t row) {
    const double last = objective[row * (n_sweeps + 1) + n_sweeps];
    if (!isfinite(last)) report(slot, row, bits_of(static_cast<float>(last)));
  });
}

}  // namespace bitwright::cuda
