// The operations of AWQ's search for clipping; see the .cc file.
#pragma once
#include "core/operation.h"
#include "quantizers/grid.h"

namespace bitwright {

Operation cell_errors_operation();
Operation clip_cells_operation();

/// What both ask of the options: cells of one row each, or the whole matrix.
inline Status clip_cells_from(const Options& options, const Shape& weight, Cells& cells) {
  if (Status status = Cells::from(options, weight, cells); !status.ok()) return status;
  return cells.strategy == Cells::Strategy::block ? Status::error("clipping is searched for tensors, rows and groups, not for blocks") : Status::fine();
}

}  // namespace bitwright
