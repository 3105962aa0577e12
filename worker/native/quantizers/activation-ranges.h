// The cells of the inputs of a linear: one, or groups of columns over all tokens. Both backends need it.
#pragma once
#include <algorithm>

#include "quantizers/grid.h"

namespace bitwright {

inline Status input_cells(const Options& options, const Shape& x, Cells& cells) {
  const int64_t T = x[0], I = x[1], group_size = options.integer("group_size");
  cells.rows = T;
  cells.columns = I;
  if (group_size < 0 || (group_size > 0 && I % group_size != 0)) return Status::error("group_size " + std::to_string(group_size) + " does not divide " + std::to_string(I) + " columns");
  cells.strategy = group_size == 0 ? Cells::Strategy::tensor : Cells::Strategy::block;
  cells.cell_rows = std::max<int64_t>(1, T);
  cells.group_size = group_size == 0 ? I : group_size;
  cells.n_groups = group_size == 0 ? 1 : I / group_size;
  return Status::fine();
}

}  // namespace bitwright
