// The list of operations, folder by folder. Names, shapes and refusals hold for every backend; a backend that is a library of its own does
// the work of the same names in its own way, and the conformance cases of test/native run over every backend that is present.
#pragma once
#include "core/operation.h"

namespace bitwright {

OperationList storage_operations();
OperationList forward_operations();
OperationList observer_operations();
OperationList quantizer_operations();
OperationList pruning_operations();
OperationList transform_operations();
OperationList format_operations();
OperationList metric_operations();

/// nullptr when there is no such operation.
const Operation* find_operation(const std::string& name);

}  // namespace bitwright
