// Elementwise operations on a CUDA device: add, and silu(gate) · up. See the .cc file.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {

void add(Context& context, const Views& in, const Views& out, const Options&) {
  const float *a = in[0].as<float>(), *b = in[1].as<float>();
  float* y = out[0].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { y[i] = a[i] + b[i]; });
}

void silu_mul(Context& context, const Views& in, const Views& out, const Options&) {
  const float *gate = in[0].as<float>(), *up = in[1].as<float>();
  float* y = out[0].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i]; });
}

void silu_mul_backward(Context& context, const Views& in, const Views& out, const Options&) {
  const float *gate = in[0].as<float>(), *up = in[1].as<float>(), *dy = in[2].as<float>();
  float *dgate = out[0].as<float>(), *dup = out[1].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) {
    const float s = 1.0f / (1.0f + expf(-gate[i])), g = gate[i], back = dy[i];
    dgate[i] = back * up[i] * s * (1.0f + g * (1.0f - s));
    dup[i] = back * g * s;
  });
}

}  // namespace bitwright::cuda
