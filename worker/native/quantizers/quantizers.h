// Choosing the integers: one operation per stem of this folder. Shapes and sources are in worker/src/tensor/operations/quantizers.ts.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation weight_scales_operation();
Operation hqq_scales_operation();
Operation search_scales_operation();
Operation activation_ranges_operation();
Operation quantize_rtn_operation();
Operation dequantize_operation();
Operation global_scale_operation();
Operation tensor_group_scales_operation();
Operation effective_scales_operation();
Operation clipped_share_operation();
Operation gptq_factor_operation();
Operation inverse_factor_operation();
Operation hessian_order_operation();
Operation absmean_scales_operation();
Operation dead_columns_operation();
Operation quantize_gptq_operation();
Operation quantize_beacon_operation();
Operation quantize_comq_operation();
Operation quantize_gpfq_operation();
Operation corrected_weight_operation();
Operation qronos_start_operation();
Operation quantize_vptq_operation();

}  // namespace bitwright
