// The list of pruning operations.
#include "pruning/pruning.h"

#include "core/operations.h"

namespace bitwright {

OperationList pruning_operations() { return {prune_magnitude_operation(), prune_wanda_operation(), prune_sparsegpt_operation(), zero_mask_operation()}; }

}  // namespace bitwright
