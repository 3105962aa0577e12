// cross_hessian_accumulate: C ← decay · C + weight · xᵀ x̃, [I, I], F32. With x the inputs of the float model and x̃ those behind quantized layers it is the
// XᵀX̃ of error correction (quantizers/corrected-weight.cc). Cost: 2 T · I² operations, twice a Hessian's, since it is not symmetric.
#include "core/gemm.h"
#include "core/operations.h"
#include "observers/cross-hessian.h"

namespace bitwright {

Operation cross_hessian_accumulate_operation() {
  return {"cross_hessian_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 3 || in[1].shape.size() != 2 || in[0].dtype != DType::F32 || in[1].dtype != DType::F32 || in[2].dtype != DType::F32 || in[2].shape != in[1].shape ||
                in[0].shape != Shape{in[1].shape[1], in[1].shape[1]})
              return mismatch("C F32 [I, I], x and x̃ F32 [T, I]", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options& options) {
            const int64_t T = in[1].extent(0), I = in[1].extent(1);
            gemm_tn(context.pool, I, I, T, static_cast<float>(options.number("weight", 1)), in[1].as<float>(), I, in[2].as<float>(), I, static_cast<float>(options.number("decay", 1)), in[0].as<float>(), I);
            return Status::fine();
          }};
}

}  // namespace bitwright
