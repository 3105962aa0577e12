// HQQ, half-quadratic quantization (Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"): parameters of a grid that make
// Σ |x̂ - x|^p small, p < 1, which outliers move less than least squares. Needs no data; it begins with the observer's scale and zero point.
//
//   hqq_scales   integer weight [O, I], scale and zero_point per channel or group → scale, and F64 [3]: cells whose scale moved, Σ |x̂ - x|^p before and after
//
// Difference from the authors' code: the scale is solved for and the zero point held, see hqq-cell.h; sums are double. Cost: 2 · iters · O · I, each with a power.
#include <algorithm>
#include <vector>

#include "core/convert.h"
#include "quantizers/hqq-cell.h"
#include "quantizers/quantizers.h"

namespace bitwright {

Operation hqq_scales_operation() {
  return {"hqq_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || !is_weight(in[0].dtype)) return mismatch("weight [O, I], scale and zero_point", in);
            Cells cells;
            if (Status status = check_scaled(in, options, 1, cells); !status.ok()) return status;
            if (Status status = check_even_steps(options); !status.ok()) return status;
            Grid grid;
            HqqSettings settings;
            (void)grid_from(options, grid);
            if (grid.is_float) return Status::error("HQQ is for integers, and these are floats");
            if (cells.strategy != Cells::Strategy::channel && cells.strategy != Cells::Strategy::group) return Status::error("HQQ works per channel or per group");
            if (in[1].dtype != in[0].dtype || in[2].dtype != DType::I8 || in[2].shape != in[1].shape) return mismatch("a scale of the dtype of the weight and zero_point I8 of its shape", in);
            if (Status status = hqq_settings(options, settings); !status.ok()) return status;
            out = {{in[1].dtype, in[1].shape}, {DType::F64, {3}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            HqqSettings settings;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            (void)hqq_settings(options, settings);
            const int64_t n_cells = count_of(cells.scale_shape());
            std::vector<HqqCell> found(static_cast<size_t>(n_cells));
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              context.pool.parallel_chunks(n_cells, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, cells.group_size)), [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end && !context.cancelled(); ++i) {
                  const auto* w = in[0].as<typename T::Stored>() + i / cells.n_groups * cells.columns + i % cells.n_groups * cells.group_size;
                  found[static_cast<size_t>(i)] = hqq_cell<T>([=](int64_t k) { return T::load(w[k]); }, cells.group_size, T::load(in[1].as<typename T::Stored>()[i]), in[2].as<int8_t>()[i], grid, settings);
                }
              });
            });
            if (context.cancelled()) return Status::cancelled();
            double sums[3] = {};
            for (int64_t i = 0; i < n_cells; ++i) {
              const HqqCell& cell = found[static_cast<size_t>(i)];
              if (!std::isfinite(cell.before)) return Status::error("the error of row " + std::to_string(i / cells.n_groups) + " is no number: its weight is NaN or infinite");
              sums[0] += cell.after < cell.before;
              sums[1] += cell.before;
              sums[2] += cell.after;
            }
            with_weight_type(out[0].dtype, [&](auto type) {
              using T = decltype(type);
              for (int64_t i = 0; i < n_cells; ++i) out[0].as<typename T::Stored>()[i] = T::store(found[static_cast<size_t>(i)].scale);
            });
            std::copy_n(sums, 3, out[1].as<double>());
            return Status::fine();
          }};
}

}  // namespace bitwright
