// Linear layer on a CUDA device: y = x Wᵀ + bias.
//
// A BF16 weight is multiplied on tensor cores: x is split into three BF16 parts without error (core/split-bf16.h), the three products are added
// in F32, the smallest first. What is left is the error of F32 sums: |Δy| ≤ c · 2^-22 · Σ |x_i w_i| with c the number of partial sums, I / 16;
// seen from the largest |y| it is far below 1e-5 for all shapes of the tests. Other weights, and devices without BF16, are multiplied in F32.
#include "core/split-bf16.h"
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {

void linear(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t T = in[0].extent(0), I = in[0].extent(1), O = in[1].extent(0), n = T * I;
  const float* x = in[0].as<float>();
  float* y = out[0].as<float>();
  if (in[1].dtype == DType::BF16 && context.has_bf16() && n > 0) {
    const Scratch<uint16_t> parts = context.scratch<uint16_t>(3 * n);
    uint16_t *high = parts.data(), *middle = high + n, *low = middle + n;
    for_each(context, n, [=] __device__(int64_t i) {
      const ExactParts split = split_exact(x[i]);
      high[i] = split.high;
      middle[i] = split.middle;
      low[i] = split.low;
    });
    context.gemm(DType::BF16, false, true, T, O, I, 1, low, I, in[1].data, I, 0, y, O);
    context.gemm(DType::BF16, false, true, T, O, I, 1, middle, I, in[1].data, I, 1, y, O);
    context.gemm(DType::BF16, false, true, T, O, I, 1, high, I, in[1].data, I, 1, y, O);
  } else {
    const FloatCopy weight(context, in[1]);
    context.gemm(DType::F32, false, true, T, O, I, 1, x, I, weight.data(), I, 0, y, O);
  }
  if (!in[2].present) return;
  const AnyFloat bias(in[2]);
  for_rows(context, T, O, [=] __device__(int64_t t, int64_t o) { y[t * O + o] += bias.value(o); });
}

}  // namespace bitwright::cuda
