// Diagonal of the empirical Fisher information on a CUDA device: see fisher.cc.
// Beside inputs: dW, 4 O · I bytes.
#include "cuda/launch.cuh"
#include "observers/kernels.h"

namespace bitwright::cuda {

void fisher_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t T = in[1].extent(0), O = in[1].extent(1), I = in[2].extent(1);
  if (T == 0 || O * I == 0) return;
  const Scratch<float> gradients = context.scratch<float>(O * I);
  context.gemm(DType::F32, true, false, O, I, T, 1, in[1].data, O, in[2].data, I, 0, gradients.data(), I);
  const float* gradient = gradients.data();
  float* F = in[0].as<float>();
  for_each(context, O * I, [=] __device__(int64_t i) { F[i] += gradient[i] * gradient[i]; });
}

}  // namespace bitwright::cuda
