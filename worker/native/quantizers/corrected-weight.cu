// The weight that answers best to the float layer's output, on a CUDA device: see corrected-weight.cc.
//
// W* = W + W (C - H) Uᵀ U by three products in F32. With more rows than columns the square matrices are multiplied first: 4 I³ + 2 I² · O operations instead of 6 I² · O.
// With X = X̃ the first factor is zero in either order, and W* is W. Floor: these operations at the rate of F32 products.
// Beside inputs and results: 4 I² + 8 I · min(O, I) bytes, and 4 O · I for a weight that is not F32.
#include "cuda/launch.cuh"
#include "quantizers/kernels.h"

namespace bitwright::cuda {

void corrected_weight(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t O = in[0].extent(0), I = in[0].extent(1), most = O > I ? I : O;
  if (O == 0 || I == 0) return;
  const FloatCopy weight(context, in[0]);
  const float *W = weight.data(), *H = in[1].as<float>(), *C = in[2].as<float>(), *U = in[3].as<float>();
  float* corrected = out[0].as<float>();
  const float strength = static_cast<float>(options.number("strength", 1));
  const Scratch<float> differences = context.scratch<float>(I * I), first = context.scratch<float>(most * I), second = context.scratch<float>(most * I);
  float* difference = differences.data();
  for_each(context, I * I, [=] __device__(int64_t i) { difference[i] = C[i] - H[i]; });
  for_each(context, O * I, [=] __device__(int64_t i) { corrected[i] = W[i]; });
  if (O > I) {
    context.gemm(DType::F32, false, true, I, I, I, 1, difference, I, U, I, 0, first.data(), I);
    context.step();
    context.gemm(DType::F32, false, false, I, I, I, 1, first.data(), I, U, I, 0, second.data(), I);
    context.step();
    context.gemm(DType::F32, false, false, O, I, I, strength, W, I, second.data(), I, 1, corrected, I);
  } else {
    context.gemm(DType::F32, false, false, O, I, I, 1, W, I, difference, I, 0, first.data(), I);
    context.step();
    context.gemm(DType::F32, false, true, O, I, I, 1, first.data(), I, U, I, 0, second.data(), I);
    context.step();
    context.gemm(DType::F32, false, false, O, I, I, strength, second.data(), I, U, I, 1, corrected, I);
  }
}

}  // namespace bitwright::cuda
