// The list of pruning operations of the CUDA backend.
#include "pruning/kernels.h"

#include "cuda/operations.h"

namespace bitwright::cuda {

KernelList pruning_kernels() {
  return {{"prune_magnitude", prune_magnitude}, {"prune_wanda", prune_wanda}, {"prune_sparsegpt", prune_sparsegpt}, {"zero_mask", zero_mask}};
}

}  // namespace bitwright::cuda
