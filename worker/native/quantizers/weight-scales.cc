// Scales and zero points of a weight: by its range (minmax) or by a search over ranges (mse, imatrix), see range-search.h; the scale is grid.h's.
// Strategy tensor_group answers the largest magnitude of each cell in place of its scale: tensor-group-scales.cc makes both levels of it.
//
//   weight_scales    minmax, and mse from the full range downwards
//   search_scales    the same with two things more: a range expanded at first, and importance F32 [I] of the columns, divided by its mean (none: all alike)
//
// A weight that is NaN or infinite has no range: it is refused, with its row. Source: llm-compressor 0.13, observers. Cost: steps · O · I.
#include <limits>
#include <vector>

#include "quantizers/quantizers.h"
#include "quantizers/range-search.h"

namespace bitwright {
namespace {

Status write_scales(const std::vector<float>& mn, const std::vector<float>& mx, const Grid& grid, const Views& out) {
  return with_weight_type(out[0].dtype, [&](auto type) {
    using T = decltype(type);
    for (size_t i = 0; i < mn.size(); ++i) {
      const CellScale<T> cell = scale_of_range<T>(grid, mn[i], mx[i]);
      if (!std::isfinite(cell.scale)) return Status::error("a weight of " + std::to_string(std::max(-mn[i], mx[i])) + " has no finite scale");
      out[0].as<typename T::Stored>()[i] = T::store(cell.scale);
      out[1].as<int8_t>()[i] = cell.zero_point;
    }
    return Status::fine();
  });
}

Status check(const Specs& in, const Options& options, Specs& out) {
  Cells cells;
  Grid grid;
  ShrinkSearch search;
  if (!is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I] in BF16, F16 or F32", in);
  if (in[1].present && (in[1].dtype != DType::I32 || in[1].count() != in[0].shape[1])) return mismatch("a permutation I32 [I]", in);
  if (Status status = grid_from(options, grid); !status.ok()) return status;
  if (Status status = Cells::from(options, in[0].shape, cells); !status.ok()) return status;
  if (Status status = ShrinkSearch::from(options, search); !status.ok()) return status;
  out = {{in[0].dtype, cells.scale_shape()}, {DType::I8, cells.scale_shape()}};
  return Status::fine();
}

Status find_scales(RunContext& context, const Views& in, const float* importance, const Views& out, const Options& options) {
  if (Status status = check_permutation(in[1], in[0].extent(1)); !status.ok()) return status;
  Cells cells;
  Grid grid;
  ShrinkSearch search;
  (void)grid_from(options, grid);
  (void)Cells::from(options, in[0].shape, cells);
  (void)ShrinkSearch::from(options, search);
  std::vector<float> mn, mx;
  if (Status status = find_ranges(context, in[0], ints_or_null(in[1]), importance, cells, grid, search, "the weight", mn, mx); !status.ok()) return status;
  return write_scales(mn, mx, grid, out);
}

}  // namespace

Operation weight_scales_operation() {
  return {"weight_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2) return mismatch("weight [O, I] and a permutation or none", in);
            // What every backend has under this name; the rest is search_scales.
            if (options.text("observer") != "minmax" && options.text("observer") != "mse") return Status::error("observer " + options.text("observer") + " is none of minmax, mse");
            if (options.number("expand", 1) != 1) return Status::error("weight_scales begins with the range itself; search_scales expands it");
            return check(in, options, out);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) { return find_scales(context, in, nullptr, out, options); }};
}

Operation search_scales_operation() {
  return {"search_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3) return mismatch("weight [O, I], a permutation or none, and importance F32 [I] or none", in);
            if (in[2].present && (in[2].dtype != DType::F32 || in[2].shape != Shape{in[0].shape.size() == 2 ? in[0].shape[1] : -1})) return mismatch("importance F32 [I]", in);
            return check(in, options, out);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            if (!in[2].present) return find_scales(context, in, nullptr, out, options);
            const int64_t n = in[2].count();
            const float* given = in[2].as<float>();
            double sum = 0;
            for (int64_t i = 0; i < n; ++i) {
              if (!(given[i] >= 0 && std::isfinite(given[i]))) return Status::error("the importance of column " + std::to_string(i) + " is " + std::to_string(given[i]));
              sum += given[i];
            }
            const float mean = static_cast<float>(sum / static_cast<double>(n)) + std::numeric_limits<float>::min();
            std::vector<float> importance(given, given + n);
            for (float& value : importance) value /= mean;
            return find_scales(context, in, importance.data(), out, options);
          }};
}

}  // namespace bitwright
