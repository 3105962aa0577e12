// See range-search.h. Cells are taken side by side by the pool; a cell of a whole tensor is taken row by row, and its sums are added in the order of the rows.
#include "quantizers/range-search.h"

#include <limits>

#include "core/convert.h"
#include "core/vector-math.h"

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
  /// Per column, or nullptr.
  const float* importance;
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

  /// The error as imatrix has it: of what T holds, in float32, weighed.
  double weighed_error(int64_t row, int64_t group, const CellScale<T>& cell) const {
    double sum = 0;
    const float z = cell.zero_point, exponent = static_cast<float>(norm);
    over_runs(cells, permutation, row, group, [&](int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const float x = T::load(weight[first + i]);
        const float q = code_of<T, Codes>(x, cell.scale, z, grid.qmin(), grid.qmax());
        const float difference = std::fabs(rounded_to<T>(rounded_to<T>(q - z) * cell.scale) - x);
        // PyTorch multiplies for these two exponents.
        const float error = norm == 3 ? difference * difference * difference : norm == 2 ? difference * difference : std::pow(difference, exponent);
        sum += importance == nullptr ? error : error * importance[first + i - row * cells.columns];
      }
    });
    return sum;
  }
};

template <class T, class Codes>
Status search_ranges(RunContext& context, const Search<T, Codes>& search, const Grid& searched, const ShrinkSearch& shrink, const char* what, std::vector<float>& mn, std::vector<float>& mx) {
  const Cells& cells = search.cells;
  const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
  const int64_t n_cells = count_of(cells.scale_shape());
  std::vector<Range> ranges(static_cast<size_t>(n_cells));
  // Work is cut into runs of cells, or of rows where one cell is all there is.
  const int64_t rows_per_tile = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cells.columns));
  const int64_t cells_per_tile = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cells.cell_rows * cells.group_size));
  auto over_cells = [&](auto&& fn) {
    context.pool.parallel_chunks(n_cells, cells_per_tile, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) fn(i, i / cells.n_groups, i % cells.n_groups);
    });
  };

  if (per_tensor) {
    for (int64_t row = 0; row < cells.rows; ++row) search.range(row, 0, ranges[0]);
  } else {
    over_cells([&](int64_t i, int64_t cell_row, int64_t group) { over_rows_of(cells, cell_row, [&](int64_t row) { search.range(row, group, ranges[static_cast<size_t>(i)]); }); });
  }
  mn.clear();
  mx.clear();
  for (int64_t i = 0; i < n_cells; ++i) {
    const Range& range = ranges[static_cast<size_t>(i)];
    if (range.difference != 0)
      return Status::error(std::string(what) + " has a value that is NaN or infinite" + (per_tensor ? std::string() : (cells.cell_rows == 1 ? " in row " : " in the block that begins with row ") + std::to_string(i / cells.n_groups * cells.cell_rows)));
    mn.push_back(range.mn);
    mx.push_back(range.mx);
  }

  const bool is_imatrix = shrink.kind == ShrinkSearch::Kind::imatrix;
  if (shrink.kind != ShrinkSearch::Kind::none && shrink.expand != 1)
    for (size_t i = 0; i < mn.size(); ++i) {
      mn[i] = rounded_to<T>(mn[i] * static_cast<float>(shrink.expand));
      mx[i] = rounded_to<T>(mx[i] * static_cast<float>(shrink.expand));
    }
  const std::vector<float> full_mn = mn, full_mx = mx;
  std::vector<float> best(static_cast<size_t>(n_cells), std::numeric_limits<float>::infinity());
  const int64_t n_steps = shrink.n_steps();
  int64_t n_idle = 0;
  for (int64_t step = 0; step < n_steps && !(shrink.ends(n_idle)) && !context.cancelled(); ++step) {
    const float p = static_cast<float>(1.0 - static_cast<double>(step) / shrink.grid);
    std::atomic<bool> improved{false};
    auto error_of = [&](int64_t row, int64_t group, const CellScale<T>& cell) { return is_imatrix ? search.weighed_error(row, group, cell) : search.error(row, group, cell); };
    auto try_cell = [&](size_t i, auto&& sum_of) {
      const float low = rounded_to<T>(full_mn[i] * p), high = rounded_to<T>(full_mx[i] * p);
      const float sum = static_cast<float>(sum_of(scale_of_range<T>(searched, low, high))), error = is_imatrix ? sum : rounded_to<T>(sum);
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
          for (int64_t row = begin; row < end; ++row) row_errors[static_cast<size_t>(row)] = error_of(row, 0, cell);
        });
        double sum = 0;
        for (double error : row_errors) sum += error;
        return sum;
      });
    } else {
      over_cells([&](int64_t i, int64_t cell_row, int64_t group) {
        try_cell(static_cast<size_t>(i), [&](const CellScale<T>& cell) {
          double sum = 0;
          over_rows_of(cells, cell_row, [&](int64_t row) { sum += error_of(row, group, cell); });
          return sum;
        });
      });
    }
    n_idle = improved ? 0 : n_idle + 1;
  }
  return context.cancelled() ? Status::cancelled() : Status::fine();
}

}  // namespace

Status find_ranges(RunContext& context, const TensorView& matrix, const int32_t* permutation, const float* importance, const Cells& cells, const Grid& grid, const ShrinkSearch& shrink,
                   const char* what, std::vector<float>& mn, std::vector<float>& mx) {
  // The search weighs the scale that a cell would have without a second level, as llm-compressor does.
  Grid searched = grid;
  if (grid.scale == Grid::Scale::largest) searched.scale = Grid::Scale::plain;
  return with_weight_type(matrix.dtype, [&](auto type) {
    using T = decltype(type);
    return with_codes(grid, [&](auto codes) {
      const Search<T, decltype(codes)> search{cells, grid, matrix.as<typename T::Stored>(), permutation, importance, shrink.norm};
      return search_ranges(context, search, searched, shrink, what, mn, mx);
    });
  });
}

}  // namespace bitwright
