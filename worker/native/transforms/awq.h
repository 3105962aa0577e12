// The operations of AWQ's search for scales; see the .cc file.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation column_abs_sum_accumulate_operation();
Operation awq_weight_sum_accumulate_operation();
Operation awq_scales_operation();
Operation divide_columns_operation();
Operation squared_error_accumulate_operation();

}  // namespace bitwright
