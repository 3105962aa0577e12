// Diagonal of the empirical Fisher information of a linear layer: F ← F + (dyᵀ x)², element by element, dyᵀ x the gradient of one document's loss for the weight.
// F [O, I], dy [T, O], x [T, I], all F32; the tokens of one document in each call, since gradients are summed within a document and squared after.
// Cost: T · I · O multiply-adds.
#include "observers/fisher.h"

#include "core/gemm.h"
#include "core/large-scratch.h"
#include "core/vector-math.h"

namespace bitwright {
namespace {

BITWRIGHT_VECTOR void add_squares(const float* gradient, float* F, int64_t n) {
  for (int64_t i = 0; i < n; ++i) F[i] += gradient[i] * gradient[i];
}

}  // namespace

Operation fisher_accumulate_operation() {
  return {"fisher_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            const bool fits = in.size() == 3 && in[0].dtype == DType::F32 && in[1].dtype == DType::F32 && in[2].dtype == DType::F32 && in[1].shape.size() == 2 && in[2].shape.size() == 2 &&
                              in[1].shape[0] == in[2].shape[0] && in[0].shape == Shape{in[1].shape[1], in[2].shape[1]};
            return fits ? Status::fine() : mismatch("F F32 [O, I], dy F32 [T, O] and x F32 [T, I]", in);
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t T = in[1].extent(0), O = in[1].extent(1), I = in[2].extent(1);
            if (T == 0) return Status::fine();
            const LargeScratch gradient = large_scratch(O * I);
            gemm_tn(context.pool, O, I, T, 1.0f, in[1].as<float>(), O, in[2].as<float>(), I, 0.0f, gradient.get(), I);
            context.pool.parallel_chunks(O * I, 1 << 15, [&](int64_t begin, int64_t end) { add_squares(gradient.get() + begin, in[0].as<float>() + begin, end - begin); });
            return Status::fine();
          }};
}

}  // namespace bitwright
