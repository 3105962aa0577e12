// What stands between this library and a CUDA device: driver, its version, the device, cuBLAS. Tells them apart in one sentence each.
#pragma once
#include "core/backend-abi.h"

namespace bitwright::cuda {

/// At least 1.
int n_devices();
void describe(int index, bitwright_device_info& info);

}  // namespace bitwright::cuda
