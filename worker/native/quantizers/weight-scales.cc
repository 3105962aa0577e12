// Scales and zero points of a weight, by range (minmax) or by a shrink search that minimises Σ |x̂ - x|^norm per cell (mse).
//
// The search tries the range times p = 1 - i / grid for i = 0 … int(maxshrink · grid) - 1 and keeps what is strictly better; it stops after
// `patience` steps in which no cell of the whole tensor improved. All steps are rounded to the dtype of the weight, the sum of a cell once at its end.
// Strategy tensor_group answers the largest magnitude of each cell in place of its scale: tensor-group-scales.cc makes both levels of it.
// A weight that is NaN or infinite has no range: it is refused, with its row. Source: llm-compressor 0.13, observers/mse_quant.py. Cost: steps · O · I.
#include <limits>
#include <vector>

#include "core/convert.h"
#include "core/vector-math.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {
namespace {

/// Calls fn(first, count) for the runs of columns of a part of a cell; with a permutation a run is one column.
template <class Fn>
void over_runs(const Cells& cells, const int32_t* permutation, int64_t row, int64_t group, const Fn& fn) {
  const int64_t begin = group * cells.group_size, end = std::min(cells.columns, begin + cells.group_size);
  if (permutation == nullptr) return fn(row * cells.columns + begin, end - begin);
  for (int64_t c = begin; c < end; ++c) fn(row * cells.columns + permutation[c], int64_t{1});
}

/// Calls fn(row) for the rows of a cell.
template <class Fn>
void over_rows_of(const Cells& cells, int64_t cell_row, const Fn& fn) {
  for (int64_t row = cell_row * cells.cell_rows; row < std::min(cells.rows, (cell_row + 1) * cells.cell_rows); ++row) fn(row);
}

/// Extremes of the cell so far, and a sum that is 0 while every value was finite and NaN afterwards.
struct Range {
  float mn = std::numeric_limits<float>::infinity(), mx = -std::numeric_limits<float>::infinity(), difference = 0;
};

template <class T>
inline __attribute__((always_inline)) void extend(Range& range, const typename T::Stored* x, int64_t n) {
  float mn[n_lanes], mx[n_lanes], difference[n_lanes] = {};
  std::fill_n(mn, n_lanes, range.mn);
  std::fill_n(mx, n_lanes, range.mx);
  auto take = [&](int64_t i, int lane) __attribute__((always_inline)) {
    const float value = T::load(x[i]);
    mn[lane] = value < mn[lane] ? value : mn[lane];
    mx[lane] = value > mx[lane] ? value : mx[lane];
    difference[lane] += value - value;
  };
  int64_t i = 0;
  for (; i + n_lanes <= n; i += n_lanes)
    for (int lane = 0; lane < n_lanes; ++lane) take(i + lane, lane);
  for (; i < n; ++i) take(i, 0);
  for (int lane = 0; lane < n_lanes; ++lane) {
    range.mn = std::min(range.mn, mn[lane]);
    range.mx = std::max(range.mx, mx[lane]);
    range.difference += difference[lane];
  }
}

// One plain function per weight type, so that each gets its vector copies.
BITWRIGHT_VECTOR void extend_range(Range& range, F32Type, const float* x, int64_t n) { extend<F32Type>(range, x, n); }
BITWRIGHT_VECTOR void extend_range(Range& range, BF16Type, const uint16_t* x, int64_t n) { extend<BF16Type>(range, x, n); }
BITWRIGHT_VECTOR void extend_range(Range& range, F16Type, const uint16_t* x, int64_t n) { extend<F16Type>(range, x, n); }

template <class T, class Codes>
struct Search {
  const Cells& cells;
  const Grid& grid;
  const typename T::Stored* weight;
  const int32_t* permutation;
  double norm;

  void range(int64_t row, int64_t group, Range& range) const {
    over_runs(cells, permutation, row, group, [&](int64_t first, int64_t count) { extend_range(range, T{}, weight + first, count); });
  }

  double error(int64_t row, int64_t group, const CellScale<T>& cell) const {
    double sum = 0;
    // PyTorch rounds the exponent to the dtype too: 2.4 is 2.40625 in BF16.
    const float z = cell.zero_point, exponent = rounded_to<T>(static_cast<float>(norm));
    over_runs(cells, permutation, row, group, [&](int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const float x = T::load(weight[first + i]);
        const float q = code_of<T, Codes>(x, cell.scale, z, grid.qmin(), grid.qmax());
        const float back = rounded_to<T>(rounded_to<T>(q - z) * cell.scale);
        sum += rounded_to<T>(std::pow(std::fabs(rounded_to<T>(back - x)), exponent));
      }
    });
    return sum;
  }
};

template <class T, class Codes>
Status find_scales(RunContext& context, const Views& in, const Views& out, const Options& options, const Grid& grid) {
  Cells cells;
  (void)Cells::from(options, in[0].shape, cells);
  // The search weighs the scale that a cell would have without a second level, as llm-compressor does.
  Grid searched = grid;
  if (grid.scale == Grid::Scale::largest) searched.scale = Grid::Scale::plain;
  const Search<T, Codes> search{cells, grid, in[0].as<typename T::Stored>(), ints_or_null(in[1]), options.number("norm", 2.4)};
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const int64_t n_cells = count_of(cells.scale_shape());
  std::vector<Range> ranges(static_cast<size_t>(n_cells));
  const int64_t rows_per_tile = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cells.columns * (per_tensor ? 1 : cells.cell_rows)));

  if (per_tensor) {
    for (int64_t row = 0; row < cells.rows; ++row) search.range(row, 0, ranges[0]);
  } else {
    context.pool.parallel_chunks(cells.n_cell_rows(), rows_per_tile, [&](int64_t begin, int64_t end) {
      for (int64_t cell_row = begin; cell_row < end; ++cell_row)
        over_rows_of(cells, cell_row, [&](int64_t row) {
          for (int64_t group = 0; group < cells.n_groups; ++group) search.range(row, group, ranges[static_cast<size_t>(cells.index(row, group))]);
        });
    });
  }
  std::vector<float> mn, mx;
  for (int64_t i = 0; i < n_cells; ++i) {
    const Range& range = ranges[static_cast<size_t>(i)];
    if (range.difference != 0) return Status::error("the weight has a value that is NaN or infinite" + (per_tensor ? std::string() : (cells.cell_rows == 1 ? " in row " : " in the block that begins with row ") + std::to_string(i / cells.n_groups * cells.cell_rows)));
    mn.push_back(range.mn);
    mx.push_back(range.mx);
  }

  if (options.text("observer") == "mse") {
    const double steps_of_grid = options.number("grid", 100);
    const int64_t n_steps = static_cast<int64_t>(options.number("maxshrink", 0.2) * steps_of_grid), patience = options.integer("patience", 5);
    const std::vector<float> full_mn = mn, full_mx = mx;
    std::vector<float> best(static_cast<size_t>(n_cells), std::numeric_limits<float>::infinity());
    int64_t n_idle = 0;
    for (int64_t step = 0; step < n_steps && n_idle < patience && !context.cancelled(); ++step) {
      const float p = static_cast<float>(1.0 - static_cast<double>(step) / steps_of_grid);
      std::atomic<bool> improved{false};
      auto try_cell = [&](size_t i, auto&& error_of) {
        const float low = rounded_to<T>(full_mn[i] * p), high = rounded_to<T>(full_mx[i] * p);
        const float error = rounded_to<T>(static_cast<float>(error_of(scale_of_range<T>(searched, low, high))));
        if (!(error < best[i])) return;
        best[i] = error;
        mn[i] = low;
        mx[i] = high;
        improved = true;
      };
      if (per_tensor) {
        std::vector<double> row_errors(static_cast<size_t>(cells.rows));
        try_cell(0, [&](const CellScale<T>& cell) {
          context.pool.parallel_chunks(cells.rows, rows_per_tile, [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; ++row) row_errors[static_cast<size_t>(row)] = search.error(row, 0, cell);
          });
          double sum = 0;
          for (double error : row_errors) sum += error;
          return sum;
        });
      } else {
        context.pool.parallel_chunks(cells.n_cell_rows(), rows_per_tile, [&](int64_t begin, int64_t end) {
          for (int64_t cell_row = begin; cell_row < end; ++cell_row)
            for (int64_t group = 0; group < cells.n_groups; ++group)
              try_cell(static_cast<size_t>(cell_row * cells.n_groups + group), [&](const CellScale<T>& cell) {
                double sum = 0;
                over_rows_of(cells, cell_row, [&](int64_t row) { sum += search.error(row, group, cell); });
                return sum;
              });
        });
      }
      n_idle = improved ? 0 : n_idle + 1;
    }
  }

  for (int64_t i = 0; i < n_cells; ++i) {
    const CellScale<T> cell = scale_of_range<T>(grid, mn[static_cast<size_t>(i)], mx[static_cast<size_t>(i)]);
    if (!std::isfinite(cell.scale)) return Status::error("a weight of " + std::to_string(std::max(-mn[static_cast<size_t>(i)], mx[static_cast<size_t>(i)])) + " has no finite scale");
    out[0].as<typename T::Stored>()[i] = T::store(cell.scale);
    out[1].as<int8_t>()[i] = cell.zero_point;
  }
  return context.cancelled() ? Status::cancelled() : Status::fine();
}

}  // namespace

Operation weight_scales_operation() {
  return {"weight_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            Cells cells;
            Grid grid;
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I] in BF16, F16 or F32 and a permutation or none", in);
            if (in[1].present && (in[1].dtype != DType::I32 || in[1].count() != in[0].shape[1])) return mismatch("a permutation I32 [I]", in);
            if (Status status = grid_from(options, grid); !status.ok()) return status;
            if (Status status = Cells::from(options, in[0].shape, cells); !status.ok()) return status;
            if (options.text("observer") != "minmax" && options.text("observer") != "mse") return Status::error("observer " + options.text("observer") + " is none of minmax, mse");
            out = {{in[0].dtype, cells.scale_shape()}, {DType::I8, cells.scale_shape()}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            if (Status status = check_permutation(in[1], in[0].extent(1)); !status.ok()) return status;
            Grid grid;
            (void)grid_from(options, grid);
            return with_weight_type(in[0].dtype, [&](auto type) {
              return with_codes(grid, [&](auto codes) { return find_scales<decltype(type), decltype(codes)>(context, in, out, options, grid); });
            });
          }};
}

}  // namespace bitwright
