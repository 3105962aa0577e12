// The operations of rotations; see the .cc file.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation hadamard_transform_operation();
Operation rotate_operation();

}  // namespace bitwright
