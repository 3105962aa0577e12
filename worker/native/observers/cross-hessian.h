// The product of two inputs of one layer, accumulated; see the .cc file.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation cross_hessian_accumulate_operation();

}  // namespace bitwright
