// What calibration must run, and its gradients: one operation per stem of this folder. Shapes and sources are in worker/src/tensor/operations/forward.ts.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation embedding_operation();
Operation linear_operation();
Operation linear_backward_operation();
Operation rmsnorm_operation();
Operation rmsnorm_backward_operation();
Operation add_operation();
Operation silu_mul_operation();
Operation silu_mul_backward_operation();
Operation rope_operation();
Operation attention_operation();
Operation attention_backward_operation();
Operation cross_entropy_operation();
Operation cross_entropy_backward_operation();
Operation logit_divergence_operation();
Operation argmax_operation();
Operation store_rows_operation();
Operation cached_attention_operation();
Operation fake_quantize_dynamic_operation();
Operation fake_quantize_local_operation();
Operation fake_quantize_static_operation();

}  // namespace bitwright
