// The list of operations of the CPU backend, folder by folder. A second backend (CUDA) is another such list in a library of its own,
// loaded with dlopen when a device is asked for; the conformance cases of test/native run over every list that is present.
#pragma once
#include "core/operation.h"

namespace bitwright {

OperationList storage_operations();
OperationList forward_operations();
OperationList observer_operations();
OperationList quantizer_operations();
OperationList transform_operations();
OperationList format_operations();
OperationList metric_operations();

/// nullptr when there is no such operation.
const Operation* find_cpu_operation(const std::string& name);

}  // namespace bitwright
