// The mean magnitude of a cell as its scale: for levels ternary (BitNet b1.58: Ma et al., arXiv 2402.17764, eq. 1-3) and binary (XNOR-Net: Rastegari et al.,
// arXiv 1603.05279, eq. 6, where it is the scale with the least squared error).
//
//   absmean_scales   weight [O, I], permutation or none → scale = rd(mean |w| over the cell), zero_point = 0
//
// Differences from the papers: BitNet has one scale for a whole weight, here a cell may be smaller; a cell of zeros gets the grid's least scale, not 1e-5.
// Sums are double, row by row. Cost: O · I.
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {

Operation absmean_scales_operation() {
  return {"absmean_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I] in BF16, F16 or F32, and permutation", in);
            if (in[1].present && (in[1].dtype != DType::I32 || in[1].count() != in[0].shape[1])) return mismatch("a permutation I32 [I]", in);
            Grid grid;
            Cells cells;
            if (Status status = grid_from(options, grid); !status.ok()) return status;
            if (Status status = Cells::from(options, in[0].shape, cells); !status.ok()) return status;
            if (grid.levels != Grid::Levels::ternary && grid.levels != Grid::Levels::binary) return Status::error("the mean magnitude is the scale of levels ternary and binary");
            if (cells.strategy == Cells::Strategy::block) return Status::error("integers have no blocks");
            out = {{in[0].dtype, cells.scale_shape()}, {DType::I8, cells.scale_shape()}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            Cells cells;
            (void)grid_from(options, grid);
            (void)Cells::from(options, in[0].shape, cells);
            if (Status status = check_permutation(in[1], cells.columns); !status.ok()) return status;
            const int32_t* permutation = ints_or_null(in[1]);
            std::vector<double> sums(static_cast<size_t>(cells.rows * cells.n_groups));
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              context.pool.parallel_chunks(cells.rows, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, cells.columns)), [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row)
                  for (int64_t c = 0; c < cells.columns; ++c) {
                    const int64_t column = permutation != nullptr ? permutation[c] : c;
                    sums[static_cast<size_t>(row * cells.n_groups + c / cells.group_size)] += std::fabs(static_cast<double>(T::load(in[0].as<typename T::Stored>()[row * cells.columns + column])));
                  }
              });
            });
            for (size_t i = 0; i < sums.size(); ++i)
              if (!std::isfinite(sums[i])) return Status::error("the weight has a value that is NaN or infinite in row " + std::to_string(static_cast<int64_t>(i) / cells.n_groups));
            if (cells.strategy == Cells::Strategy::tensor) {
              double sum = 0;
              for (const double of_row : sums) sum += of_row;
              sums.assign(1, sum);
            }
            const double count = static_cast<double>(std::max<int64_t>(1, cells.cell_rows * cells.group_size));
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              for (int64_t i = 0; i < out[0].count(); ++i) {
                const float scale = rounded_to<T>(static_cast<float>(sums[static_cast<size_t>(i)] / count));
                out[0].as<typename T::Stored>()[i] = T::store(scale == 0 ? least_scale<T>(grid) : scale);
                out[1].as<int8_t>()[i] = 0;
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
