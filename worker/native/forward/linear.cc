// Linear layer: y = x Wᵀ + bias. x [T, I], W [O, I], y [T, O]; and its gradient dx = dy W. Cost: T · I · O multiply-adds each.
#include <algorithm>

#include "core/convert.h"
#include "core/gemm.h"
#include "forward/forward.h"

namespace bitwright {

Operation linear_operation() {
  return {"linear",
          [](const Specs& in, const Options&, Specs& out) {
            const bool fits = in.size() == 3 && in[0].dtype == DType::F32 && in[0].shape.size() == 2 && is_float(in[1].dtype) && in[1].shape.size() == 2 &&
                              in[0].shape[1] == in[1].shape[1] && (!in[2].present || (is_float(in[2].dtype) && in[2].count() == in[1].shape[0]));
            if (!fits) return mismatch("x F32 [T, I], weight [O, I] and bias [O] or none", in);
            out = {{DType::F32, {in[0].shape[0], in[1].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t T = in[0].extent(0), I = in[0].extent(1), O = in[1].extent(0);
            const FloatView weight(in[1]);
            float* y = out[0].as<float>();
            gemm_nt(context.pool, T, O, I, 1.0f, in[0].as<float>(), I, weight.data(), I, 0.0f, y, O);
            if (!in[2].present) return Status::fine();
            const FloatView bias(in[2]);
            context.pool.parallel_chunks(T, 256, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t)
                for (int64_t o = 0; o < O; ++o) y[t * O + o] += bias.data()[o];
            });
            return Status::fine();
          }};
}

Operation linear_backward_operation() {
  return {"linear_backward",
          [](const Specs& in, const Options&, Specs& out) {
            const bool fits = in.size() == 2 && in[0].dtype == DType::F32 && in[0].shape.size() == 2 && is_float(in[1].dtype) && in[1].shape.size() == 2 && in[0].shape[1] == in[1].shape[0];
            if (!fits) return mismatch("dy F32 [T, O] and weight [O, I]", in);
            out = {{DType::F32, {in[0].shape[0], in[1].shape[1]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t T = in[0].extent(0), O = in[0].extent(1), I = in[1].extent(1);
            const FloatView weight(in[1]);
            // BLAS leaves the result alone where there is nothing to sum.
            if (O == 0) std::fill_n(out[0].as<float>(), T * I, 0.0f);
            else gemm_nn(context.pool, T, I, O, 1.0f, in[0].as<float>(), O, weight.data(), I, 0.0f, out[0].as<float>(), I);
            return Status::fine();
          }};
}

}  // namespace bitwright
