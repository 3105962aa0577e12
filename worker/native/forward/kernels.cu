// The list of forward operations of the CUDA backend.
#include "forward/kernels.h"

#include "cuda/operations.h"

namespace bitwright::cuda {

KernelList forward_kernels() {
  return {{"embedding", embedding}, {"linear", linear},       {"rmsnorm", rmsnorm},     {"add", add},
          {"silu_mul", silu_mul},   {"rope", rope},           {"attention", attention}, {"cross_entropy", cross_entropy},
          {"fake_quantize_dynamic", fake_quantize_dynamic},   {"fake_quantize_local", fake_quantize_local},
          {"fake_quantize_static", fake_quantize_static},     {"logit_divergence", logit_divergence},
          {"argmax", argmax},       {"store_rows", store_rows}, {"cached_attention", cached_attention},
          {"linear_backward", linear_backward}, {"rmsnorm_backward", rmsnorm_backward}, {"silu_mul_backward", silu_mul_backward},
          {"attention_backward", attention_backward}, {"cross_entropy_backward", cross_entropy_backward}};
}

}  // namespace bitwright::cuda
