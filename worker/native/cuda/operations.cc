// The table of all operations of the CUDA backend by name.
#include "cuda/operations.h"

#include <unordered_map>

namespace bitwright::cuda {

Kernel find_kernel(const std::string& name) {
  static const std::unordered_map<std::string, Kernel> table = [] {
    std::unordered_map<std::string, Kernel> all;
    for (const KernelList& list : {storage_kernels(), forward_kernels(), observer_kernels(), quantizer_kernels(), pruning_kernels(), transform_kernels(), format_kernels(), metric_kernels()})
      for (const NamedKernel& kernel : list) all.emplace(kernel.name, kernel.run);
    return all;
  }();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace bitwright::cuda
