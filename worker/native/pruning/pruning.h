// Choosing what becomes zero: one operation per stem of this folder. Shapes and sources are in worker/src/tensor/operations/pruning.ts.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation prune_magnitude_operation();
Operation prune_wanda_operation();
Operation prune_sparsegpt_operation();
Operation zero_mask_operation();

}  // namespace bitwright
