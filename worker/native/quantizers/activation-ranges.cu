// Ranges of the inputs of a linear on a CUDA device: see activation-ranges.cc.
#include "quantizers/activation-ranges.h"
#include "quantizers/kernels.h"
#include "quantizers/range-search.cuh"

namespace bitwright::cuda {

void activation_ranges(Context& context, const Views& in, const Views& out, const Options& options) {
  Cells cells;
  Grid grid;
  ShrinkSearch shrink;
  (void)grid_from(options, grid);
  (void)input_cells(options, in[0].shape, cells);
  (void)ShrinkSearch::from(options, shrink);
  const int64_t n = cells.n_groups;
  const Scratch<Extremes> ranges = context.scratch<Extremes>(n);
  Extremes* kept = ranges.data();
  with_weight_type(in[0].dtype, [&](auto type) { with_codes(grid, [&](auto codes) { find_ranges<decltype(type), decltype(codes)>(context, in[0], nullptr, nullptr, cells, grid, shrink, kept); }); });
  float* answer = out[0].as<float>();
  for_each(context, n, [=] __device__(int64_t i) {
    // One value that is no number leaves no range at all, as on the processor.
    float difference = 0;
    for (int64_t k = 0; k < n; ++k) difference += kept[k].difference;
    answer[i] = difference == 0 ? kept[i].mn : NAN;
    answer[n + i] = difference == 0 ? kept[i].mx : NAN;
  });
}

}  // namespace bitwright::cuda
