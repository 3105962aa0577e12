// Round to nearest: every weight to the nearest code of its cell; its inverse; and the share of weights that fall outside the grid.
// The arithmetic is grid.h. Cost: O · I operations each.
#include "core/convert.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {
namespace {

/// Calls fn(row, first column, last column, index of the scale) for runs of columns with one scale.
template <class Fn>
void over_rows(RunContext& context, const Cells& cells, const int32_t* g_idx, const Fn& fn) {
  const int64_t rows_per_tile = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, cells.columns));
  context.pool.parallel_chunks(cells.rows, rows_per_tile, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t c = 0; c < cells.columns;) {
        const int64_t group = cells.group_of(c, g_idx);
        int64_t last = c + 1;
        while (last < cells.columns && cells.group_of(last, g_idx) == group) ++last;
        fn(row, c, last, cells.index(row, group));
        c = last;
      }
  });
}

/// Inputs: matrix, scale, zero_point (or none), g_idx (or none).
Status check(const Specs& in, const Options& options, Cells& cells) {
  if (in.size() != 4) return mismatch("matrix, scale, zero_point and g_idx", in);
  if (Status status = check_scaled(in, options, 1, cells); !status.ok()) return status;
  if (in[2].present && (in[2].dtype != DType::I8 || in[2].count() != in[1].count())) return mismatch("zero_point I8 of the scale's shape", in);
  if (in[3].present && (in[3].dtype != DType::I32 || in[3].count() != cells.columns)) return mismatch("g_idx I32 [I]", in);
  return Status::fine();
}

/// Calls fn with the types of weight and scale and the values of the grid.
template <class Fn>
void over_types(const Views& in, const Grid& grid, const Fn& fn) {
  with_weight_type(in[0].dtype, [&](auto weight_type) {
    with_codes(grid, [&](auto codes) {
      if (in[1].dtype == in[0].dtype) fn(weight_type, weight_type, codes);
      else fn(weight_type, F32Type{}, codes);
    });
  });
}

float zero_point_at(const Views& in, int64_t index) { return in[2].present ? static_cast<float>(in[2].as<int8_t>()[index]) : 0.0f; }

}  // namespace

Operation quantize_rtn_operation() {
  return {"quantize_rtn",
          [](const Specs& in, const Options& options, Specs& out) {
            Cells cells;
            if (Status status = check(in, options, cells); !status.ok()) return status;
            if (!divides(in[1].dtype, in[0].dtype)) return mismatch("weight and scale of one float type, or F32 scales", in);
            Grid grid;
            (void)grid_from(options, grid);
            out = {{grid.code_dtype(), in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            if (Status status = check_groups(in[3], cells); !status.ok()) return status;
            const float qmin = grid.qmin(), qmax = grid.qmax();
            over_types(in, grid, [&](auto weight_type, auto scale_type, auto codes) {
              using W = decltype(weight_type);
              using T = decltype(scale_type);
              using Codes = decltype(codes);
              over_rows(context, cells, ints_or_null(in[3]), [&](int64_t row, int64_t begin, int64_t end, int64_t index) {
                const float scale = T::load(in[1].as<typename T::Stored>()[index]), z = zero_point_at(in, index);
                const auto* w = in[0].as<typename W::Stored>() + row * cells.columns;
                uint8_t* q = out[0].as<uint8_t>() + row * cells.columns;
                for (int64_t c = begin; c < end; ++c) q[c] = Codes::code(code_of<T, Codes>(W::load(w[c]), scale, z, qmin, qmax));
              });
            });
            return Status::fine();
          }};
}

Operation dequantize_operation() {
  return {"dequantize",
          [](const Specs& in, const Options& options, Specs& out) {
            Cells cells;
            if (Status status = check(in, options, cells); !status.ok()) return status;
            Grid grid;
            (void)grid_from(options, grid);
            if (in[0].dtype != grid.code_dtype()) return mismatch(std::string("codes ") + name_of(grid.code_dtype()) + " [O, I]", in);
            out = {{in[1].dtype, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            if (Status status = check_groups(in[3], cells); !status.ok()) return status;
            with_weight_type(in[1].dtype, [&](auto type) {
              using T = decltype(type);
              with_codes(grid, [&](auto codes) {
                using Codes = decltype(codes);
                over_rows(context, cells, ints_or_null(in[3]), [&](int64_t row, int64_t begin, int64_t end, int64_t index) {
                  const float scale = T::load(in[1].as<typename T::Stored>()[index]), z = zero_point_at(in, index);
                  const uint8_t* q = in[0].as<uint8_t>() + row * cells.columns;
                  auto* w = out[0].as<typename T::Stored>() + row * cells.columns;
                  for (int64_t c = begin; c < end; ++c) w[c] = T::store((Codes::value(q[c]) - z) * scale);
                });
              });
            });
            return Status::fine();
          }};
}

Operation clipped_share_operation() {
  return {"clipped_share",
          [](const Specs& in, const Options& options, Specs& out) {
            Cells cells;
            if (Status status = check(in, options, cells); !status.ok()) return status;
            if (!divides(in[1].dtype, in[0].dtype)) return mismatch("weight and scale of one float type, or F32 scales", in);
            out = {{DType::F64, {1}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            if (Status status = check_groups(in[3], cells); !status.ok()) return status;
            std::atomic<int64_t> n_clipped{0};
            // Half a step outside the last code is still rounded, not clipped.
            const float high = grid.outermost(), low = grid.outermost_below();
            over_types(in, grid, [&](auto weight_type, auto scale_type, auto) {
              using W = decltype(weight_type);
              using T = decltype(scale_type);
              over_rows(context, cells, ints_or_null(in[3]), [&](int64_t row, int64_t begin, int64_t end, int64_t index) {
                const float scale = T::load(in[1].as<typename T::Stored>()[index]), z = zero_point_at(in, index);
                const auto* w = in[0].as<typename W::Stored>() + row * cells.columns;
                int64_t n = 0;
                for (int64_t c = begin; c < end; ++c) {
                  const float code = W::load(w[c]) / scale + z;
                  n += code < low || code > high;
                }
                n_clipped += n;
              });
            });
            const int64_t count = cells.rows * cells.columns;
            out[0].as<double>()[0] = count == 0 ? 0.0 : static_cast<double>(n_clipped) / static_cast<double>(count);
            return Status::fine();
          }};
}

}  // namespace bitwright
