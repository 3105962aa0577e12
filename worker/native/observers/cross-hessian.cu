// cross_hessian_accumulate on a CUDA device: C ← decay · C + weight · xᵀ x̃, see cross-hessian.cc.
//
// Where it is large it is summed on tensor cores from two BF16 parts of each input: xᵀ x̃ = highᵀ high~ + highᵀ middle~ + middleᵀ high~ + Δ, three products that add in F32.
// |Δ_ij| ≤ 3.1e-5 · Σ_t |x_ti x̃_tj|, and with x = x̃ these are the terms of the Hessian (observers.cu), so that the difference of the two has no error of its own.
// Beside C and the inputs: their parts of at most 4096 rows, 8 T · I bytes.
// Floor: 2 T · I² operations at the rate of BF16 products, of which three products reach a third, or 8 T · I bytes.
#include "cuda/operations.h"
#include "observers/kernels.h"
#include "observers/split-parts.cuh"

namespace bitwright::cuda {

void cross_hessian_accumulate(Context& context, const Views& in, const Views&, const Options& options) {
  const int64_t T = in[1].extent(0), I = in[1].extent(1);
  const double decay = options.number("decay", 1), weight = options.number("weight", 1);
  float* C = in[0].as<float>();
  const float *x = in[1].as<float>(), *x_tilde = in[2].as<float>();
  if (T == 0) {
    for_each(context, I * I, [=] __device__(int64_t i) { C[i] *= static_cast<float>(decay); });
  } else if (sums_by_parts(context, T, I)) {
    SplitInput left(context, x, T, I), right(context, x_tilde, T, I);
    for_split_rows(T, [&](int64_t begin, int64_t rows) {
      left.take(begin, rows);
      right.take(begin, rows);
      context.gemm(DType::BF16, true, false, I, I, rows, weight, left.middle(), I, right.high(), I, begin > 0 ? 1 : decay, C, I);
      context.gemm(DType::BF16, true, false, I, I, rows, weight, left.high(), I, right.middle(), I, 1, C, I);
      context.gemm(DType::BF16, true, false, I, I, rows, weight, left.high(), I, right.high(), I, 1, C, I);
    });
  } else {
    context.gemm(DType::F32, true, false, I, I, T, weight, x, I, x_tilde, I, decay, C, I);
  }
}

}  // namespace bitwright::cuda
