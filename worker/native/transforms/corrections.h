// The operations of corrections behind a quantizer; see the .cc files named after them.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation low_rank_residual_operation();
Operation output_shift_operation();
Operation residual_columns_operation();
Operation variance_sums_operation();

}  // namespace bitwright
