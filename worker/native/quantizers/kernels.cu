// The list of quantizer operations of the CUDA backend.
#include "quantizers/kernels.h"

#include "cuda/operations.h"

namespace bitwright::cuda {

KernelList quantizer_kernels() {
  return {{"weight_scales", weight_scales}, {"quantize_rtn", quantize_rtn},   {"dequantize", dequantize},     {"clipped_share", clipped_share},
          {"gptq_factor", gptq_factor},     {"inverse_factor", inverse_factor}, {"hessian_order", hessian_order}, {"dead_columns", dead_columns}, {"quantize_gptq", quantize_gptq},
          {"global_scale", global_scale},   {"tensor_group_scales", tensor_group_scales}, {"effective_scales", effective_scales},
          {"search_scales", search_scales}, {"activation_ranges", activation_ranges}, {"hqq_scales", hqq_scales}, {"absmean_scales", absmean_scales},
          {"corrected_weight", corrected_weight}, {"qronos_start", qronos_start}, {"quantize_beacon", quantize_beacon}, {"quantize_comq", quantize_comq}, {"quantize_gpfq", quantize_gpfq}, {"quantize_vptq", quantize_vptq}};
}

}  // namespace bitwright::cuda
