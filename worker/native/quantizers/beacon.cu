// Beacon over all rows of a weight on a CUDA device: legend in beacon.h. Cells one after the other, all rows side by side (beacon-cell.cu); with groups each answers
// what those before it left, see beacon.cc.
// Floor at the rate of F32 products: per channel 4 I² · O operations for the start and 2 I² · O for a sweep; with groups of m columns 2 I · O · m of each and I² · O for what is behind.
// Columns whose codes stay are not passed over as on the processor; a cell that has settled is left, which is looked for behind every 8 sweeps.
// Beside inputs and results: weights, a, b, e and codes, 17 O · I + 1024 O bytes for cells of a row; with groups of m 4 O · I + 16 I · m and what those take of a group.
#include "cuda/columns.cuh"
#include "quantizers/beacon.cuh"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

/// One column of the inverse of a group's triangle: x = R_gg⁻¹ e_j, from its diagonal up.
__global__ void __launch_bounds__(128) invert_columns(const float* R, int64_t n_columns, int64_t m, double* inverse) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= n_columns) return;
  const int64_t group = column / m, j = column % m, first = group * m;
  double* x = inverse + group * m * m;
  for (int64_t i = m - 1; i > j; --i) x[i * m + j] = 0;
  for (int64_t i = j; i >= 0; --i) {
    const float* row = R + (first + i) * n_columns + first;
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

/// Scales, zero points and codes; E holds the weights, where it is there, and takes from them what the codes stand for.
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
    if (E != nullptr) E[i] -= rounded_to<T>(cell.a[i] * found[row]);
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

void solve_groups(Context& context, const Layer& layer, BeaconCell cell, float* V, const uint8_t* dead, int8_t* Qt) {
  const int64_t m = cell.m, padded = cell.padded, I = cell.cells.columns, n_groups = cell.cells.n_groups;
  const float* R = layer.in[2].as<float>();
  // V_g P_g for all rows when a group begins, or R_gh P_h for all groups h behind, so that V holds the answers themselves: the smaller of the two.
  const bool spreads_rows = padded < I / 2;
  const Scratch<float> inverses = context.scratch<float>(n_groups * m * m), metrics = context.scratch<float>(n_groups * m * m), errors = context.scratch<float>(m * padded),
                       targets = context.scratch<float>(m * padded), products = context.scratch<float>(m * (spreads_rows ? padded : I));
  group_metrics(context, R, I, m, inverses.data(), metrics.data());
  float *E = errors.data(), *target = targets.data(), *product = products.data();
  cell.w = target;
  for (int64_t group = 0; group < n_groups; ++group) {
    const int64_t first = group * m, behind = first + m;
    cell.group = group;
    cell.first = first;
    cell.S = metrics.data() + group * m * m;
    cell.pinned = dead != nullptr ? dead + first : nullptr;
    transpose_columns(context, layer.in[0], first, behind, padded, nullptr, dead, E);
    if (group > 0 && spreads_rows) context.gemm(DType::F32, true, false, m, padded, m, 1, inverses.data() + group * m * m, m, V + first * padded, padded, 0, product, padded);
    const float* answer = group == 0 ? nullptr : spreads_rows ? product : V + first * padded;
    for_each(context, m * padded, [=] __device__(int64_t i) { target[i] = answer != nullptr ? E[i] + answer[i] : E[i]; });
    solve_cell(context, layer, cell, Qt, E);
    if (behind == I) break;
    const float* spread = R + first * I + behind;
    if (!spreads_rows) {
      for (int64_t h = group + 1; h < n_groups; ++h)
        context.gemm(DType::F32, false, false, m, m, m, 1, R + first * I + h * m, I, inverses.data() + h * m * m, m, 0, product + (h - group - 1) * m, I);
      spread = product;
    }
    context.gemm(DType::F32, true, false, I - behind, padded, m, 1, spread, I, E, padded, group > 0 ? 1 : 0, V + behind * padded, padded);
  }
}

}  // namespace

void group_metrics(Context& context, const float* R, int64_t n_columns, int64_t m, float* P, float* S) {
  const int64_t size = n_columns * m;
  const Scratch<double> inverses = context.scratch<double>(size);
  const double* inverse = inverses.data();
  launch(context, static_cast<unsigned>((n_columns + 127) / 128), 128, 0, invert_columns, R, n_columns, m, inverses.data());
  for_rows(context, n_columns, m, [=] __device__(int64_t at, int64_t j) {
    const int64_t i = at % m, first = at - i;
    const float *own = R + at * n_columns + first, *other = R + (first + j) * n_columns + first;
    double sum = 0;
    for (int64_t k = i > j ? i : j; k < m; ++k) sum += static_cast<double>(own[k]) * static_cast<double>(other[k]);
    S[at * m + j] = static_cast<float>(sum);
    P[at * m + j] = static_cast<float>(inverse[at * m + j]);
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
  // The weights of a row that is one cell; V of rows of groups.
  const Scratch<float> columns = context.scratch<float>(I * padded), a = context.scratch<float>(m * padded), b = context.scratch<float>(m * padded), e = context.scratch<float>(m * padded),
                       blocks = context.scratch<float>(2 * walk_columns * padded), per_row = context.scratch<float>(5 * padded), sums = context.scratch<float>(m);
  const Scratch<double> doubles = context.scratch<double>(2 * padded + 1);
  const Scratch<int8_t> codes = context.scratch<int8_t>(m * padded);
  const Scratch<int32_t> flag = context.scratch<int32_t>(1);
  cell.m = m;
  cell.ld = cell.cells.n_groups > 1 ? m : I;
  cell.padded = padded;
  cell.S = H;
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
  if (cell.cells.n_groups > 1) {
    solve_groups(context, layer, cell, columns.data(), dead, codes.data());
  } else {
    transpose_weight(context, in[0], padded, nullptr, dead, columns.data());
    cell.w = columns.data();
    solve_cell(context, layer, cell, codes.data(), nullptr);
  }
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
