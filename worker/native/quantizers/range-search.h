// The range of every cell of a matrix: its extremes, or a shrunken range that minimises Σ |x̂ - x|^norm per cell. One definition for weights and for inputs.
//
//   full   = the extremes times `expand`
//   p      = 1 - i / grid, i = 0 … n_steps - 1; the range p · full is kept where its error is strictly smaller than the best before
//   the search ends after `patience` steps in a row in which no cell of the whole matrix improved
//
// mse      every step rounded to the dtype T of the matrix, the sum of a cell once at its end; n_steps = int(maxshrink · grid)
// imatrix  the error in float32, times the importance of the column where there is one; n_steps = max(1, int(maxshrink · grid)) + 1; patience 0 never ends it
//
// Source: llm-compressor 0.13, observers/mse_quant.py and observers/imatrix.py. Cost: n_steps · O · I.
#pragma once
#include <vector>

#include "quantizers/grid.h"

namespace bitwright {

struct ShrinkSearch {
  enum class Kind { none, mse, imatrix } kind = Kind::none;
  double maxshrink = 0.2, grid = 100, norm = 2.4, expand = 1;
  int64_t patience = 5;

  int64_t n_steps() const {
    const int64_t n = static_cast<int64_t>(maxshrink * grid);
    return kind == Kind::none ? 0 : kind == Kind::mse ? n : std::max<int64_t>(1, n) + 1;
  }
  bool ends(int64_t n_idle) const { return (kind == Kind::mse || patience > 0) && n_idle >= patience; }

  static Status from(const Options& options, ShrinkSearch& search) {
    const std::string observer = options.text("observer");
    if (observer == "minmax") search.kind = Kind::none;
    else if (observer == "mse") search.kind = Kind::mse;
    else if (observer == "imatrix") search.kind = Kind::imatrix;
    else return Status::error("observer " + observer + " is none of minmax, mse, imatrix");
    search.maxshrink = options.number("maxshrink", search.maxshrink);
    search.grid = options.number("grid", search.grid);
    search.norm = options.number("norm", search.norm);
    search.expand = options.number("expand", search.expand);
    search.patience = options.integer("patience", search.patience);
    // At most as many steps as a grid of a thousand has: more would be a run that seems to hang.
    if (!(search.grid > 0 && search.maxshrink >= 0 && search.maxshrink * search.grid <= 1000))
      return Status::error("a search of maxshrink " + std::to_string(search.maxshrink) + " in steps of 1 / " + std::to_string(search.grid) + " has no 0 to 1000 steps");
    if (!(search.norm > 0 && std::isfinite(search.norm) && search.expand > 0 && std::isfinite(search.expand)))
      return Status::error("norm " + std::to_string(search.norm) + " or expand " + std::to_string(search.expand) + " is no positive number");
    return Status::fine();
  }
};

/// Extremes of every cell of a matrix (BF16, F16 or F32), rounded to its dtype, after the search; `importance` F32 [I] or nullptr. A NaN or an infinity is refused
/// with its row; `what` names the matrix in that sentence.
Status find_ranges(RunContext& context, const TensorView& matrix, const int32_t* permutation, const float* importance, const Cells& cells, const Grid& grid,
                   const ShrinkSearch& search, const char* what, std::vector<float>& mn, std::vector<float>& mx);

}  // namespace bitwright
