// The operations of corrections behind a quantizer; see the .cc files named after them.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation output_shift_operation();
Operation variance_sums_operation();

}  // namespace bitwright
