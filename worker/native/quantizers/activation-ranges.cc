// Ranges of the inputs of a linear, of all of them or of groups of columns side by side: what one calibration row (or batch) adds to static activations.
//
//   x [T, I] → [2, G], minima then maxima; G = 1, or I / group_size columns each over all T tokens; observer and search as range-search.h has them
//
// Where a value is NaN or infinite all ranges are NaN, and whoever reads them refuses it with the name of the layer. Source: llm-compressor 0.13, observers/helpers.py (flatten_for_calibration). Cost: steps · T · I.
#include <algorithm>
#include <limits>
#include <vector>

#include "core/convert.h"
#include "quantizers/activation-ranges.h"
#include "quantizers/quantizers.h"
#include "quantizers/range-search.h"

namespace bitwright {
namespace {

template <class T>
bool has_only_numbers(const TensorView& x) {
  const auto* values = x.as<typename T::Stored>();
  const int64_t n = x.count();
  float difference = 0;
  for (int64_t i = 0; i < n; ++i) difference += T::load(values[i]) - T::load(values[i]);
  return difference == 0;
}

}  // namespace

Operation activation_ranges_operation() {
  return {"activation_ranges",
          [](const Specs& in, const Options& options, Specs& out) {
            Cells cells;
            Grid grid;
            ShrinkSearch search;
            if (in.size() != 1 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("x [T, I] in BF16, F16 or F32", in);
            if (in[0].count() == 0) return mismatch("x with a token and a column", in);
            if (Status status = grid_from(options, grid); !status.ok()) return status;
            if (Status status = input_cells(options, in[0].shape, cells); !status.ok()) return status;
            if (Status status = ShrinkSearch::from(options, search); !status.ok()) return status;
            out = {{DType::F32, {2, cells.n_groups}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            ShrinkSearch search;
            (void)grid_from(options, grid);
            (void)input_cells(options, in[0].shape, cells);
            (void)ShrinkSearch::from(options, search);
            const bool is_finite = with_weight_type(in[0].dtype, [&](auto type) { return has_only_numbers<decltype(type)>(in[0]); });
            if (!is_finite) {
              std::fill_n(out[0].as<float>(), 2 * cells.n_groups, std::numeric_limits<float>::quiet_NaN());
              return Status::fine();
            }
            std::vector<float> mn, mx;
            if (Status status = find_ranges(context, in[0], nullptr, nullptr, cells, grid, search, "the input", mn, mx); !status.ok()) return status;
            std::copy(mn.begin(), mn.end(), out[0].as<float>());
            std::copy(mx.begin(), mx.end(), out[0].as<float>() + mn.size());
            return Status::fine();
          }};
}

}  // namespace bitwright
