// The weight that gives, on the inputs behind quantized layers, the closest to what the float layer gave on its own: W* = argmin ‖XW - X̃W*‖.
// The target of every solver with error correction: ‖Xw - X̃ŵ‖² = ‖X̃ (w* - ŵ)‖² + what no ŵ changes. Zhang et al. (Qronos), arXiv 2505.11695, section 3;
// Zhang and Saab (Beacon), arXiv 2508.20293, who reach the same by QR.
//
//   here   shape   meaning
//   H      I × I   X̃ᵀX̃
//   C      I × I   XᵀX̃
//   U      I × I   (H + damping)⁻¹ = UᵀU
//   W*     O × I   (W C + damping W) (H + damping)⁻¹ = W + W (C - H) UᵀU, F32: with X = X̃ it is W, whatever the damping
//
// `strength` t answers W + t (W* - W). Where X̃ is noisy the least squares shrink what they answer (‖X̃W*‖ < ‖XW‖), and layers behind each other shrink it further:
// t < 1 gives some of the fit for strength of the signal.
// Cost: 6 I² · O operations.
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {

Operation corrected_weight_operation() {
  return {"corrected_weight",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 4 || in[0].shape.size() != 2) return mismatch("weight [O, I], H, C, factor F32 [I, I]", in);
            const int64_t I = in[0].shape[1];
            for (size_t i = 1; i < 4; ++i)
              if (in[i].dtype != DType::F32 || in[i].shape != Shape{I, I}) return mismatch("weight [O, I], H, C, factor F32 [I, I]", in);
            if (!is_weight(in[0].dtype)) return mismatch("a weight of floats", in);
            if (const double strength = options.number("strength", 1); !(strength >= 0 && strength <= 1)) return Status::error("strength " + std::to_string(strength) + " is not between 0 and 1");
            out = {{DType::F32, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            const FloatView weight(in[0]);
            const float *H = in[1].as<float>(), *C = in[2].as<float>(), *U = in[3].as<float>();
            std::vector<float> difference(static_cast<size_t>(I * I)), moved(static_cast<size_t>(O * I)), half(moved.size());
            for (int64_t i = 0; i < I * I; ++i) difference[static_cast<size_t>(i)] = C[i] - H[i];
            gemm_nn(context.pool, O, I, I, 1.0f, weight.data(), I, difference.data(), I, 0.0f, moved.data(), I);
            gemm_nt(context.pool, O, I, I, 1.0f, moved.data(), I, U, I, 0.0f, half.data(), I);
            if (context.cancelled()) return Status::cancelled();
            std::copy_n(weight.data(), O * I, out[0].as<float>());
            gemm_nn(context.pool, O, I, I, static_cast<float>(options.number("strength", 1)), half.data(), I, U, I, 1.0f, out[0].as<float>(), I);
            return Status::fine();
          }};
}

}  // namespace bitwright
