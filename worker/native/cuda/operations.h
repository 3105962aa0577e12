// The list of operations of the CUDA backend, folder by folder: the names of core/operations.h, each with its kernels.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

KernelList storage_kernels();
KernelList forward_kernels();
KernelList observer_kernels();
KernelList quantizer_kernels();
KernelList pruning_kernels();
KernelList transform_kernels();
KernelList format_kernels();
KernelList metric_kernels();

/// nullptr when there is no such operation.
Kernel find_kernel(const std::string& name);

/// Values that look like a model's, for measurements: storage-operations.cu.
void fill_with_noise(Context& context, DType type, void* to, int64_t count);

}  // namespace bitwright::cuda
