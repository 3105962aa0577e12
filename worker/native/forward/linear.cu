// Linear layer on a CUDA device: y = x Wᵀ + bias, and its gradient dx = dy W.
//
// A BF16 weight is multiplied on tensor cores: x is split into three BF16 parts without error (core/split-bf16.h), the three products are added
// in F32, the smallest first. What is left is the error of F32 sums: |Δy| ≤ c · 2^-22 · Σ |x_i w_i| with c the number of partial sums, I / 16;
// seen from the largest |y| it is far below 1e-5 for all shapes of the tests. Other weights, and devices without BF16, are multiplied in F32.
//
// Beside inputs and results: the parts, 6 bytes for each number of at most 4096 rows of x (core/split-bf16.h), of dy likewise; or of a weight that is not F32 its F32 copy, 4 O · I bytes.
#include <algorithm>

#include "core/split-bf16.h"
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {

namespace {

/// y [T, N] = x [T, K] · op(W), op(W) [K, N].
void multiply(Context& context, const TensorView& input, const TensorView& matrix, bool is_transposed, float* y) {
  const int64_t T = input.extent(0), K = input.extent(1), N = matrix.extent(is_transposed ? 0 : 1), stride = matrix.extent(1), most = std::min(T, split_rows);
  const float* x = input.as<float>();
  if (matrix.dtype != DType::BF16 || !context.has_bf16() || T * K == 0) {
    const FloatCopy weight(context, matrix);
    return context.gemm(DType::F32, false, is_transposed, T, N, K, 1, x, K, weight.data(), stride, 0, y, N);
  }
  const Scratch<uint16_t> parts = context.scratch<uint16_t>(3 * most * K);
  uint16_t *high = parts.data(), *middle = high + most * K, *low = middle + most * K;
  for (int64_t begin = 0; begin < T; begin += most) {
    const int64_t rows = std::min(most, T - begin);
    const float* from = x + begin * K;
    for_each(context, rows * K, [=] __device__(int64_t i) {
      const ExactParts split = split_exact(from[i]);
      high[i] = split.high;
      middle[i] = split.middle;
      low[i] = split.low;
    });
    float* to = y + begin * N;
    context.gemm(DType::BF16, false, is_transposed, rows, N, K, 1, low, K, matrix.data, stride, 0, to, N);
    context.gemm(DType::BF16, false, is_transposed, rows, N, K, 1, middle, K, matrix.data, stride, 1, to, N);
    context.gemm(DType::BF16, false, is_transposed, rows, N, K, 1, high, K, matrix.data, stride, 1, to, N);
  }
}

}  // namespace

void linear(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t T = in[0].extent(0), O = in[1].extent(0);
  float* y = out[0].as<float>();
  multiply(context, in[0], in[1], true, y);
  if (!in[2].present) return;
  const AnyFloat bias(in[2]);
  for_rows(context, T, O, [=] __device__(int64_t t, int64_t o) { y[t * O + o] += bias.value(o); });
}

void linear_backward(Context& context, const Views& in, const Views& out, const Options&) { multiply(context, in[0], in[1], false, out[0].as<float>()); }

}  // namespace bitwright::cuda
