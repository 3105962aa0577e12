// Beacon over all rows of a weight: cells one after the other, tiles of 16 rows side by side. Legend in beacon.h.
//
// Per channel a tile goes through its one cell alone. With groups the columns of a group answer what those before it left, with GPTQ's factor (gptq.h): the target
// of the group is w + V_g R_gg⁻¹ with V_g = Σ (w - ŵ)_before R_before,g, and S of the group is R_gg R_ggᵀ. The product with R_gg⁻¹ is taken where it is the smaller one.
#include "quantizers/beacon.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/large-scratch.h"
#include "core/vector-math.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"
#include "quantizers/row-turn.h"
#include "quantizers/solver-inputs.h"

namespace bitwright {
namespace {

constexpr int64_t row_tile = row_lanes;

/// What all cells of a call share; with groups also V and, of one group, what its codes left of W, transposed: [I × padded rows], [group × padded rows].
struct Work {
  const Views& in;
  const Views& out;
  Cells cells;
  Grid grid;
  int64_t n_sweeps, padded;
  bool moves_zero_point;
  std::vector<uint8_t> pinned;
  FloatView weight;
  LargeScratch V, E;
};

float scale_at(const TensorView& scale, int64_t index) {
  float value = 0;
  with_weight_type(scale.dtype, [&](auto type) { value = decltype(type)::load(scale.as<typename decltype(type)::Stored>()[index]); });
  return value;
}

/// α / β in the type of the scale; where the codes say nothing, or less than the type holds, that of the observer stays.
float store_scale(const TensorView& scale, int64_t index, double value, float otherwise) {
  float stored = otherwise;
  with_weight_type(scale.dtype, [&](auto type) {
    using T = decltype(type);
    const float rounded = rounded_to<T>(static_cast<float>(value));
    if (std::isfinite(rounded) && rounded > 0) stored = rounded;
    scale.as<typename T::Stored>()[index] = T::store(stored);
  });
  return stored;
}

/// First zero point: the mean of the weights stands in the middle of the grid (centering), else the observer's.
float first_zero_point(const Work& work, const float* w, int64_t count, float scale, float observed) {
  if (!work.moves_zero_point) return observed;
  double mean = 0;
  for (int64_t k = 0; k < count; ++k) mean += static_cast<double>(w[k * row_tile]);
  mean /= static_cast<double>(std::max<int64_t>(1, count));
  const float middle = (work.grid.qmin() + work.grid.qmax()) / 2;
  return std::clamp(round_half_even(middle - static_cast<float>(mean) / scale), work.grid.qmin(), work.grid.qmax());
}

/// A NaN, which the objective tells, becomes some code.
BITWRIGHT_VECTOR void store_codes(const float* __restrict a, const float* __restrict zero_point, int64_t m, int8_t* __restrict codes) {
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < row_tile; ++r) {
      const float code = a[k * row_tile + r] + zero_point[r], least = code > -128.0f ? code : -128.0f;
      codes[k * row_tile + r] = static_cast<int8_t>(static_cast<int32_t>(least < 127.0f ? least : 127.0f));
    }
}

/// w - ŵ of one column, ŵ in the type of the scale.
template <class T>
inline __attribute__((always_inline)) void write_errors(const float* __restrict w, const float* __restrict a, const float* __restrict scale, float* __restrict to) {
  for (int64_t r = 0; r < row_tile; ++r) to[r] = w[r] - rounded_to<T>(a[r] * scale[r]);
}
BITWRIGHT_VECTOR void errors_f32(const float* w, const float* a, const float* scale, float* to) { write_errors<F32Type>(w, a, scale, to); }
BITWRIGHT_VECTOR void errors_bf16(const float* w, const float* a, const float* scale, float* to) { write_errors<BF16Type>(w, a, scale, to); }
BITWRIGHT_VECTOR void errors_f16(const float* w, const float* a, const float* scale, float* to) { write_errors<F16Type>(w, a, scale, to); }

/// A cell: its first column, S and the sums of its columns; what the target is beside the weights, [m × padded rows], or null.
struct Metric {
  int64_t group, first;
  const float* S;
  int64_t ld;
  const float* column_sums;
  const float* answer;
};

/// Arrays of a tile: the target, a, b, e, and with groups the weights.
constexpr int64_t n_arrays = 5;

/// Rows [16 t, 16 t + 16) of the cell: the weights, and where they begin.
BeaconTile begin_tile(const Work& work, int64_t t, const Metric& at, float* buffer, float* observed_scale) {
  const int64_t m = work.cells.group_size, I = work.cells.columns, first_row = t * row_tile, n_rows = std::min(row_tile, work.cells.rows - first_row);
  BeaconTile tile;
  tile.m = m;
  tile.S = at.S;
  tile.ld = at.ld;
  tile.w = buffer;
  tile.a = buffer + m * row_tile;
  tile.b = tile.a + m * row_tile;
  tile.e = tile.b + m * row_tile;
  tile.pinned = work.pinned.empty() ? nullptr : work.pinned.data() + at.first;
  tile.column_sums = work.moves_zero_point ? at.column_sums : nullptr;
  tile.qmin = work.grid.qmin();
  tile.qmax = work.grid.qmax();
  // Each on a line of its own, far from the next.
  for (int64_t k = 0; k < m && at.answer != nullptr; ++k) __builtin_prefetch(at.answer + k * work.padded + first_row);
  load_rows(work.weight.data() + first_row * I + at.first, I, n_rows, m, buffer);
  for (int64_t k = 0; k < m && tile.pinned != nullptr; ++k)
    if (tile.pinned[k] != 0) std::fill_n(buffer + k * row_tile, row_tile, 0.0f);
  if (work.E != nullptr) {
    std::copy_n(buffer, m * row_tile, buffer + 4 * m * row_tile);
    for (int64_t k = 0; k < m && at.answer != nullptr; ++k) rows_at(buffer + k * row_tile) += rows_at(at.answer + k * work.padded + first_row);
  }
  std::fill_n(tile.unit, row_tile, 1.0f);
  const bool has_codes = work.in[6].present;
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t index = work.cells.index(first_row + r, at.group);
    observed_scale[r] = tile.unit[r] = scale_at(work.in[3], index);
    const float observed = static_cast<float>(work.in[4].as<int8_t>()[index]);
    tile.zero_point[r] = has_codes ? observed : first_zero_point(work, tile.w + r, m, tile.unit[r], observed);
  }
  if (!has_codes) return tile;
  std::fill_n(tile.a, m * row_tile, 0.0f);
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < n_rows; ++r)
      if (tile.pinned == nullptr || tile.pinned[k] == 0) tile.a[k * row_tile + r] = static_cast<float>(work.in[6].as<int8_t>()[(first_row + r) * I + at.first + k]) - tile.zero_point[r];
  beacon_resume(tile);
  return tile;
}

/// Scale, zero point, codes, and the errors w - ŵ for the columns behind. The codes pass through b, which nobody needs any more.
void store_tile(Work& work, int64_t t, const Metric& at, const BeaconTile& tile, const float* observed_scale) {
  const int64_t m = work.cells.group_size, I = work.cells.columns, first_row = t * row_tile, n_rows = std::min(row_tile, work.cells.rows - first_row);
  float scale[row_tile] = {};
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t index = work.cells.index(first_row + r, at.group);
    scale[r] = store_scale(work.out[1], index, tile.scale[r], observed_scale[r]);
    work.out[2].as<int8_t>()[index] = std::isfinite(tile.zero_point[r]) ? static_cast<int8_t>(tile.zero_point[r]) : int8_t{0};
  }
  store_codes(tile.a, tile.zero_point, m, reinterpret_cast<int8_t*>(tile.b));
  store_rows(reinterpret_cast<const int8_t*>(tile.b), n_rows, m, work.out[0].as<int8_t>() + first_row * I + at.first, I);
  if (work.E == nullptr) return;
  const DType dtype = work.in[3].dtype;
  const auto errors = dtype == DType::BF16 ? errors_bf16 : dtype == DType::F16 ? errors_f16 : errors_f32;
  const float* const weights = tile.w + 4 * m * row_tile;
  for (int64_t k = 0; k < m; ++k) errors(weights + k * row_tile, tile.a + k * row_tile, scale, work.E.get() + k * work.padded + first_row);
}

/// Tiles [t, t + n_tiles) of a cell.
void solve_tiles(Work& work, int64_t t, int64_t n_tiles, const Metric& at) {
  const int64_t tile_size = n_arrays * work.cells.group_size * row_tile;
  static thread_local std::vector<float> buffer;
  buffer.resize(static_cast<size_t>(beacon_tiles * tile_size));
  BeaconTile all[beacon_tiles];
  float observed_scale[beacon_tiles][row_tile];
  const std::span<BeaconTile> tiles(all, static_cast<size_t>(n_tiles));
  for (int64_t i = 0; i < n_tiles; ++i) all[i] = begin_tile(work, t + i, at, buffer.data() + i * tile_size, observed_scale[i]);
  if (!work.in[6].present) beacon_start(tiles);
  for (int64_t sweep = 0; sweep <= work.n_sweeps; ++sweep) {
    if (sweep > 0) beacon_sweep(tiles);
    for (int64_t i = 0; i < n_tiles; ++i) {
      const int64_t first_row = (t + i) * row_tile, n_rows = std::min(row_tile, work.cells.rows - first_row);
      for (int64_t r = 0; r < n_rows; ++r) work.out[3].as<double>()[(first_row + r) * (work.n_sweeps + 1) + sweep] += all[i].explained[r];
    }
  }
  for (int64_t i = 0; i < n_tiles; ++i) store_tile(work, t + i, at, all[i], observed_scale[i]);
}

/// All rows of a cell.
void solve_cell(RunContext& context, Work& work, int64_t n_tiles, const Metric& at) {
  context.pool.parallel_for((n_tiles + beacon_tiles - 1) / beacon_tiles, [&](int64_t pair) {
    const int64_t t = pair * beacon_tiles;
    if (!context.cancelled()) solve_tiles(work, t, std::min(beacon_tiles, n_tiles - t), at);
  });
}

/// P = R_gg⁻¹ (upper) and S = R_gg R_ggᵀ of one group, sums in double.
void group_metric(const float* R, int64_t I, int64_t first, int64_t m, float* P, float* S) {
  std::vector<double> inverse(static_cast<size_t>(m * m));
  auto at = [&](int64_t i, int64_t j) -> double& { return inverse[static_cast<size_t>(i * m + j)]; };
  auto row_at = [&](int64_t i) { return R + (first + i) * I + first; };
  for (int64_t i = m - 1; i >= 0; --i) {
    const float* row = row_at(i);
    const double diagonal = row[i];
    at(i, i) = 1 / diagonal;
    for (int64_t k = i + 1; k < m; ++k)
      for (int64_t j = k; j < m; ++j) at(i, j) -= static_cast<double>(row[k]) * at(k, j);
    for (int64_t j = i + 1; j < m; ++j) at(i, j) /= diagonal;
  }
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (int64_t k = i; k < m; ++k) sum += static_cast<double>(row_at(i)[k]) * static_cast<double>(row_at(j)[k]);
      S[i * m + j] = S[j * m + i] = static_cast<float>(sum);
    }
  for (int64_t i = 0; i < m * m; ++i) P[i] = static_cast<float>(inverse[static_cast<size_t>(i)]);
}

/// Σ_j S_jk over the columns j that are not pinned.
std::vector<float> sums_of(const float* S, int64_t ld, int64_t m, const uint8_t* pinned) {
  std::vector<double> sums(static_cast<size_t>(m));
  for (int64_t j = 0; j < m; ++j)
    for (int64_t k = 0; k < m && (pinned == nullptr || pinned[j] == 0); ++k) sums[static_cast<size_t>(k)] += static_cast<double>(S[j * ld + k]);
  return {sums.begin(), sums.end()};
}

void solve_groups(RunContext& context, Work& work, int64_t n_tiles) {
  const int64_t m = work.cells.group_size, I = work.cells.columns, n_groups = work.cells.n_groups, padded = work.padded;
  const float* R = work.in[2].as<float>();
  // V_g P_g for all rows when a group begins, or R_gh P_h for all groups h behind, so that V holds the answers themselves.
  const bool spreads_rows = padded < I / 2;
  std::vector<float> P(static_cast<size_t>(n_groups * m * m)), S(P.size());
  const LargeScratch product = large_scratch(m * (spreads_rows ? padded : I));
  context.pool.parallel_for(n_groups, [&](int64_t g) { group_metric(R, I, g * m, m, P.data() + g * m * m, S.data() + g * m * m); });
  for (int64_t group = 0; group < n_groups && !context.cancelled(); ++group) {
    const int64_t first = group * m, behind = first + m;
    const float* metric = S.data() + group * m * m;
    float* const V = work.V.get() + first * padded;
    std::vector<float> sums;
    if (work.moves_zero_point) sums = sums_of(metric, m, m, work.pinned.empty() ? nullptr : work.pinned.data() + first);
    if (group > 0 && spreads_rows) gemm_tn(context.pool, m, padded, m, 1.0f, P.data() + group * m * m, m, V, padded, 0.0f, product.get(), padded);
    solve_cell(context, work, n_tiles, {group, first, metric, m, sums.data(), group == 0 ? nullptr : spreads_rows ? product.get() : V});
    const float* spread = R + first * I + behind;
    if (!spreads_rows) {
      context.pool.parallel_for(n_groups - group - 1, [&](int64_t h) {
        const int n = static_cast<int>(m), ld = static_cast<int>(I);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, spread + h * m, ld, P.data() + (group + 1 + h) * m * m, n, 0.0f, product.get() + h * m, ld);
      });
      spread = product.get();
    }
    gemm_tn(context.pool, I - behind, padded, m, 1.0f, spread, I, work.E.get(), padded, group > 0 ? 1.0f : 0.0f, work.V.get() + behind * padded, padded);
  }
}

}  // namespace

Operation quantize_beacon_operation() {
  return {"quantize_beacon",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 7) return mismatch("weight, H, factor, scale, zero_point, dead, codes", in);
            Cells cells;
            if (Status status = check_integers(in, options, 3, cells); !status.ok()) return status;
            const int64_t I = cells.columns;
            if (cells.strategy != Cells::Strategy::channel && cells.strategy != Cells::Strategy::group) return Status::error("a scale that follows from codes belongs to one row: strategy channel or group, not " + options.text("strategy"));
            const bool fits = has_zero_points(in, 3) && is_square(in[1], I) && (!in[2].present || is_square(in[2], I)) && is_per_column(in[5], DType::U8, I) &&
                              (!in[6].present || (in[6].dtype == DType::I8 && in[6].shape == in[0].shape));
            if (!fits) return mismatch("weight [O, I], H F32 [I, I], factor F32 [I, I] or none, scale, zero_point I8, dead U8 [I] or none, codes I8 [O, I] or none", in);
            if (cells.n_groups > 1 && !in[2].present) return Status::error(std::to_string(cells.n_groups) + " groups need the factor of the Hessian");
            if (cells.n_groups > 1 && in[6].present) return Status::error("codes to begin with are for one scale per channel");
            const int64_t n_sweeps = options.integer("n_sweeps", -1);
            if (n_sweeps < 0 || n_sweeps > 1000) return Status::error("n_sweeps " + std::to_string(n_sweeps) + " is not between 0 and 1000");
            out = {{DType::I8, in[0].shape}, in[3], in[4], {DType::F64, {cells.rows, n_sweeps + 1}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Work work{in, out, {}, {}, options.integer("n_sweeps"), 0, false, {}, FloatView(in[0]), {}, {}};
            (void)Cells::from(options, in[0].shape, work.cells);
            (void)grid_from(options, work.grid);
            work.moves_zero_point = !work.grid.symmetric && options.flag("centering");
            const int64_t O = work.cells.rows, I = work.cells.columns, n_tiles = (O + row_tile - 1) / row_tile;
            work.padded = n_tiles * row_tile;
            if (in[5].present) work.pinned.assign(in[5].as<uint8_t>(), in[5].as<uint8_t>() + I);
            for (int64_t i = 0; i < I; ++i)
              if (!std::isfinite(in[1].as<float>()[i * I + i]) || in[1].as<float>()[i * I + i] < 0) return Status::error("diag(H) at column " + std::to_string(i) + " is " + std::to_string(in[1].as<float>()[i * I + i]));
            std::fill_n(out[3].as<double>(), O * (work.n_sweeps + 1), 0.0);
            if (work.cells.n_groups > 1) {
              work.V = large_scratch(I * work.padded);
              work.E = large_scratch(work.cells.group_size * work.padded);
              solve_groups(context, work, n_tiles);
            } else {
              const float* H = in[1].as<float>();
              std::vector<float> sums;
              if (work.moves_zero_point) sums = sums_of(H, I, I, work.pinned.empty() ? nullptr : work.pinned.data());
              solve_cell(context, work, n_tiles, {0, 0, H, I, sums.data(), nullptr});
            }
            if (context.cancelled()) return Status::cancelled();
            for (int64_t r = 0; r < O; ++r)
              if (const double last = out[3].as<double>()[r * (work.n_sweeps + 1) + work.n_sweeps]; !std::isfinite(last))
                return Status::error("the objective of row " + std::to_string(r) + " is " + std::to_string(last) + ": its weights, its scales or the Hessian are not finite");
            return Status::fine();
          }};
}

}  // namespace bitwright
