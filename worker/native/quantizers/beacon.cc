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
#include <utility>
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

/// What all cells of a call share; with groups also V [O, I] and what the codes of one group left of W [O, group].
struct Work {
  const Views& in;
  const Views& out;
  Cells cells;
  Grid grid;
  int64_t n_sweeps, stride;
  bool moves_zero_point;
  std::vector<uint8_t> pinned;
  FloatView weight;
  LargeScratch V, E;

  const uint8_t* pinned_at(int64_t first) const { return pinned.empty() ? nullptr : pinned.data() + first; }
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
  for (int64_t k = 0; k < count; ++k) mean += static_cast<double>(w[k]);
  mean /= static_cast<double>(std::max<int64_t>(1, count));
  const float middle = (work.grid.qmin() + work.grid.qmax()) / 2;
  return std::clamp(round_half_even(middle - static_cast<float>(mean) / scale), work.grid.qmin(), work.grid.qmax());
}

/// A NaN, which the objective tells, becomes some code.
BITWRIGHT_VECTOR void store_codes(const float* __restrict a, float zero_point, int64_t m, int8_t* __restrict codes) {
  for (int64_t k = 0; k < m; ++k) {
    const float code = a[k] + zero_point, least = code > -128.0f ? code : -128.0f;
    codes[k] = static_cast<int8_t>(static_cast<int32_t>(least < 127.0f ? least : 127.0f));
  }
}

/// w - ŵ of one row, ŵ in the type of the scale.
template <class T>
inline __attribute__((always_inline)) void write_errors(const float* __restrict w, const float* __restrict a, float scale, int64_t m, float* __restrict to) {
  for (int64_t k = 0; k < m; ++k) to[k] = w[k] - rounded_to<T>(a[k] * scale);
}
BITWRIGHT_VECTOR void errors_f32(const float* w, const float* a, float scale, int64_t m, float* to) { write_errors<F32Type>(w, a, scale, m, to); }
BITWRIGHT_VECTOR void errors_bf16(const float* w, const float* a, float scale, int64_t m, float* to) { write_errors<BF16Type>(w, a, scale, m, to); }
BITWRIGHT_VECTOR void errors_f16(const float* w, const float* a, float scale, int64_t m, float* to) { write_errors<F16Type>(w, a, scale, m, to); }

/// A cell: its first column, S, its diagonal and the sums of its columns; what the target is beside the weights, its rows `answer_ld` apart, or null.
struct Metric {
  int64_t group, first;
  const float* S;
  int64_t ld;
  const float* diagonal;
  const uint32_t* open;
  const float* column_sums;
  const float* answer;
  int64_t answer_ld;
};

/// Arrays of a tile: the target by rows, and by columns with a, b and e.
constexpr int64_t n_arrays = 5;

/// The target of `n_rows` rows, each behind the other, and zeros behind its columns.
BITWRIGHT_VECTOR void write_targets(const Work& work, const Metric& at, int64_t first_row, int64_t n_rows, float* __restrict to) {
  const int64_t m = work.cells.group_size, I = work.cells.columns;
  const uint8_t* const pinned = work.pinned_at(at.first);
  for (int64_t r = 0; r < n_rows; ++r, to += work.stride) {
    const float* const __restrict weights = work.weight.data() + (first_row + r) * I + at.first;
    std::copy_n(weights, m, to);
    for (int64_t k = 0; k < m && pinned != nullptr; ++k)
      if (pinned[k] != 0) to[k] = 0;
    const float* const __restrict answer = at.answer == nullptr ? nullptr : at.answer + (first_row + r) * at.answer_ld;
    if (answer != nullptr)
      for (int64_t k = 0; k < m; ++k) to[k] += answer[k];
    std::fill_n(to + m, work.stride - m, 0.0f);
  }
}

/// Rows [16 t, 16 t + 16) of the cell: the target, and where they begin. Those that the weight does not have are 0.
BeaconTile begin_tile(const Work& work, int64_t t, const Metric& at, float* buffer) {
  const int64_t m = work.cells.group_size, I = work.cells.columns, first_row = t * row_tile, size = row_tile * work.stride;
  BeaconTile tile;
  tile.n_rows = std::min(row_tile, work.cells.rows - first_row);
  tile.m = m;
  tile.stride = work.stride;
  tile.S = at.S;
  tile.ld = at.ld;
  tile.diagonal = at.diagonal;
  tile.open = at.open;
  tile.w = buffer + size;
  tile.a = tile.w + size;
  tile.b = tile.a + size;
  tile.e = tile.b + size;
  tile.pinned = work.pinned_at(at.first);
  tile.column_sums = work.moves_zero_point ? at.column_sums : nullptr;
  tile.qmin = work.grid.qmin();
  tile.qmax = work.grid.qmax();
  write_targets(work, at, first_row, tile.n_rows, buffer);
  std::fill_n(buffer + tile.n_rows * work.stride, (row_tile - tile.n_rows) * work.stride, 0.0f);
  load_rows(buffer, work.stride, m, tile.w);
  std::fill_n(tile.unit, row_tile, 1.0f);
  const bool has_codes = work.in[6].present;
  for (int64_t r = 0; r < tile.n_rows; ++r) {
    const int64_t index = work.cells.index(first_row + r, at.group);
    tile.unit[r] = scale_at(work.in[3], index);
    const float observed = static_cast<float>(work.in[4].as<int8_t>()[index]);
    tile.zero_point[r] = has_codes ? observed : first_zero_point(work, buffer + r * work.stride, m, tile.unit[r], observed);
  }
  if (!has_codes) return tile;
  std::fill_n(tile.a, m * row_tile, 0.0f);
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < tile.n_rows; ++r)
      if (tile.pinned == nullptr || tile.pinned[k] == 0) tile.a[k * row_tile + r] = static_cast<float>(work.in[6].as<int8_t>()[(first_row + r) * I + at.first + k]) - tile.zero_point[r];
  beacon_resume(tile);
  return tile;
}

/// From columns of 16 rows to one row behind the other, as the target is in `rows`: each array goes to the place of the one before.
void turn_about(BeaconTile& tile, float* rows) {
  float* to = std::exchange(tile.w, rows);
  for (float** array : {&tile.a, &tile.b, &tile.e}) {
    store_rows(*array, tile.m, to, tile.stride);
    for (int64_t r = 0; r < row_tile; ++r) std::fill_n(to + r * tile.stride + tile.m, tile.stride - tile.m, 0.0f);
    std::swap(*array, to);
  }
}

/// Scale, zero point, codes, and the errors w - ŵ for the columns behind.
void store_tile(Work& work, int64_t t, const Metric& at, const BeaconTile& tile) {
  const int64_t m = tile.m, I = work.cells.columns, first_row = t * row_tile;
  const DType dtype = work.in[3].dtype;
  const auto write = dtype == DType::BF16 ? errors_bf16 : dtype == DType::F16 ? errors_f16 : errors_f32;
  for (int64_t r = 0; r < tile.n_rows; ++r) {
    const int64_t index = work.cells.index(first_row + r, at.group), begin = (first_row + r) * I + at.first;
    const float* const a = tile.a + r * tile.stride;
    const float scale = store_scale(work.out[1], index, tile.scale[r], tile.unit[r]);
    work.out[2].as<int8_t>()[index] = std::isfinite(tile.zero_point[r]) ? static_cast<int8_t>(tile.zero_point[r]) : int8_t{0};
    store_codes(a, tile.zero_point[r], m, work.out[0].as<int8_t>() + begin);
    if (work.E == nullptr) continue;
    float* const errors = work.E.get() + (first_row + r) * m;
    write(work.weight.data() + begin, a, scale, m, errors);
    for (int64_t k = 0; k < m && tile.pinned != nullptr; ++k)
      if (tile.pinned[k] != 0) errors[k] = 0;
  }
}

/// Tiles [t, t + n_tiles) of a cell.
void solve_tiles(Work& work, int64_t t, int64_t n_tiles, const Metric& at) {
  const int64_t size = row_tile * work.stride, tile_size = n_arrays * size;
  static thread_local std::vector<float> buffer;
  buffer.resize(static_cast<size_t>(beacon_tiles * tile_size));
  BeaconTile tiles[beacon_tiles];
  for (int64_t i = 0; i < n_tiles; ++i) tiles[i] = begin_tile(work, t + i, at, buffer.data() + i * tile_size);
  if (!work.in[6].present) beacon_start({tiles, static_cast<size_t>(n_tiles)});
  for (int64_t i = 0; i < n_tiles; ++i) {
    BeaconTile& tile = tiles[i];
    turn_about(tile, buffer.data() + i * tile_size);
    for (int64_t r = 0; r < tile.n_rows; ++r) {
      beacon_target(tile, r);
      beacon_measure(tile, r);
    }
    for (int64_t sweep = 0; sweep <= work.n_sweeps; ++sweep) {
      if (sweep > 0) beacon_sweep(tile);
      for (int64_t r = 0; r < tile.n_rows; ++r) work.out[3].as<double>()[((t + i) * row_tile + r) * (work.n_sweeps + 1) + sweep] += tile.explained[r];
    }
    store_tile(work, t + i, at, tile);
  }
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

/// With zeros behind the m.
std::vector<float> diagonal_of(const float* S, int64_t ld, int64_t m, int64_t stride) {
  std::vector<float> diagonal(static_cast<size_t>(stride));
  for (int64_t k = 0; k < m; ++k) diagonal[static_cast<size_t>(k)] = S[k * ld + k];
  return diagonal;
}

/// A bit for each column that is not pinned.
std::vector<uint32_t> open_columns(int64_t m, const uint8_t* pinned) {
  std::vector<uint32_t> open(static_cast<size_t>((m + beacon_look - 1) / beacon_look));
  for (int64_t k = 0; k < m; ++k)
    if (pinned == nullptr || pinned[k] == 0) open[static_cast<size_t>(k / beacon_look)] |= uint32_t{1} << (k % beacon_look);
  return open;
}

/// Σ_j S_jk over the columns j that are not pinned.
std::vector<float> sums_of(const float* S, int64_t ld, int64_t m, const uint8_t* pinned) {
  std::vector<double> sums(static_cast<size_t>(m));
  for (int64_t j = 0; j < m; ++j)
    for (int64_t k = 0; k < m && (pinned == nullptr || pinned[j] == 0); ++k) sums[static_cast<size_t>(k)] += static_cast<double>(S[j * ld + k]);
  return {sums.begin(), sums.end()};
}

void solve_groups(RunContext& context, Work& work, int64_t n_tiles) {
  const int64_t m = work.cells.group_size, O = work.cells.rows, I = work.cells.columns, n_groups = work.cells.n_groups;
  const float* R = work.in[2].as<float>();
  // V_g P_g for all rows when a group begins, or R_gh P_h for all groups h behind, so that V holds the answers themselves.
  const bool spreads_rows = O < I / 2;
  std::vector<float> P(static_cast<size_t>(n_groups * m * m)), S(P.size());
  const LargeScratch product = large_scratch(m * (spreads_rows ? O : I));
  context.pool.parallel_for(n_groups, [&](int64_t g) { group_metric(R, I, g * m, m, P.data() + g * m * m, S.data() + g * m * m); });
  for (int64_t group = 0; group < n_groups && !context.cancelled(); ++group) {
    const int64_t first = group * m, behind = first + m;
    const float* metric = S.data() + group * m * m;
    float* const V = work.V.get() + first;
    std::vector<float> sums;
    if (work.moves_zero_point) sums = sums_of(metric, m, m, work.pinned_at(first));
    const std::vector<float> diagonal = diagonal_of(metric, m, m, work.stride);
    const std::vector<uint32_t> open = open_columns(m, work.pinned_at(first));
    if (group > 0 && spreads_rows) gemm_nn(context.pool, O, m, m, 1.0f, V, I, P.data() + group * m * m, m, 0.0f, product.get(), m);
    solve_cell(context, work, n_tiles, {group, first, metric, m, diagonal.data(), open.data(), sums.data(), group == 0 ? nullptr : spreads_rows ? product.get() : V, spreads_rows ? m : I});
    const float* spread = R + first * I + behind;
    if (!spreads_rows) {
      context.pool.parallel_for(n_groups - group - 1, [&](int64_t h) {
        const int n = static_cast<int>(m), ld = static_cast<int>(I);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, spread + h * m, ld, P.data() + (group + 1 + h) * m * m, n, 0.0f, product.get() + h * m, ld);
      });
      spread = product.get();
    }
    gemm_nn(context.pool, O, I - behind, m, 1.0f, work.E.get(), m, spread, I, group > 0 ? 1.0f : 0.0f, work.V.get() + behind, I);
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
            work.stride = (work.cells.group_size + beacon_look - 1) / beacon_look * beacon_look;
            if (in[5].present) work.pinned.assign(in[5].as<uint8_t>(), in[5].as<uint8_t>() + I);
            for (int64_t i = 0; i < I; ++i)
              if (!std::isfinite(in[1].as<float>()[i * I + i]) || in[1].as<float>()[i * I + i] < 0) return Status::error("diag(H) at column " + std::to_string(i) + " is " + std::to_string(in[1].as<float>()[i * I + i]));
            std::fill_n(out[3].as<double>(), O * (work.n_sweeps + 1), 0.0);
            if (work.cells.n_groups > 1) {
              work.V = large_scratch(O * I);
              work.E = large_scratch(O * work.cells.group_size);
              solve_groups(context, work, n_tiles);
            } else {
              const float* H = in[1].as<float>();
              std::vector<float> sums;
              if (work.moves_zero_point) sums = sums_of(H, I, I, work.pinned_at(0));
              const std::vector<float> diagonal = diagonal_of(H, I, I, work.stride);
              const std::vector<uint32_t> open = open_columns(I, work.pinned_at(0));
              solve_cell(context, work, n_tiles, {0, 0, H, I, diagonal.data(), open.data(), sums.data(), nullptr, 0});
            }
            if (context.cancelled()) return Status::cancelled();
            for (int64_t r = 0; r < O; ++r)
              if (const double last = out[3].as<double>()[r * (work.n_sweeps + 1) + work.n_sweeps]; !std::isfinite(last))
                return Status::error("the objective of row " + std::to_string(r) + " is " + std::to_string(last) + ": its weights, its scales or the Hessian are not finite");
            return Status::fine();
          }};
}

}  // namespace bitwright
