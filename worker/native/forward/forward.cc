// The list of forward operations.
#include "forward/forward.h"

#include "core/operations.h"

namespace bitwright {

OperationList forward_operations() {
  return {embedding_operation(), linear_operation(),    rmsnorm_operation(),       add_operation(),                   silu_mul_operation(),
          rope_operation(),      attention_operation(), cross_entropy_operation(), fake_quantize_dynamic_operation(), fake_quantize_local_operation(), fake_quantize_static_operation(),
          logit_divergence_operation(), argmax_operation(), store_rows_operation(), cached_attention_operation(), linear_backward_operation(),
          rmsnorm_backward_operation(), silu_mul_backward_operation(), attention_backward_operation(), cross_entropy_backward_operation()};
}

}  // namespace bitwright
