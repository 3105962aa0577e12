// The list of quantizer operations.
#include "quantizers/quantizers.h"

#include "core/operations.h"

namespace bitwright {

OperationList quantizer_operations() {
  return {weight_scales_operation(), quantize_rtn_operation(),  dequantize_operation(),   clipped_share_operation(),
          gptq_factor_operation(),   inverse_factor_operation(), hessian_order_operation(), dead_columns_operation(), quantize_gptq_operation(),
          global_scale_operation(),  tensor_group_scales_operation(), effective_scales_operation(),
          search_scales_operation(), activation_ranges_operation(), hqq_scales_operation(), absmean_scales_operation(),
          quantize_beacon_operation(), quantize_comq_operation(), quantize_gpfq_operation(), corrected_weight_operation(), qronos_start_operation(), quantize_vptq_operation()};
}

}  // namespace bitwright
