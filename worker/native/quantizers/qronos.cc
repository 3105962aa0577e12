// Qronos: correct the past, then shape the future. The first code is chosen for the true target with the other weights as they are; all others are
// GPTQ's, on the weights that answer best to the true target.
// Zhang, Zhang, Colbert and Saab, "Qronos: Correcting the Past by Shaping the Future", arXiv 2505.11695 (the efficient form of its algorithm).
//
//   paper     here   shape   meaning
//   X, X̃      –      –       inputs in the float model, and behind the quantized layers
//   H, G      H, C   I × I   X̃ᵀX̃ and XᵀX̃
//   w⁽¹⁾      W*     O × I   argmin ‖XW - X̃W*‖ (corrected-weight.cc)
//   L         U      I × I   (H + damping)⁻¹ = UᵀU
//   q_1       q_1    O       code of ⟨Xw - Σ_{j≥2} w_j X̃_j, X̃_1⟩ / ‖X̃_1‖² = w_1 + (W (C - H))_1 / H_11
//   –         π      I       order of columns, as the authors' experiments have it: descending diag(H); U is in this order, all else in its own, column 1 is π_1
//
// The paper solves a least-squares problem behind the first code and walks as GPTQ from there. Least squares with w_1 = q_1 is W* with the error of column 1 spread by
// GPTQ's own step, so what this file answers is that weight, its first column on the grid already, and quantize_gptq does the rest.
// Differences from the paper: the damping is that of the factor (a part of the mean diagonal), the paper's 1e-6 of the largest eigenvalue. Given that, the codes are those
// of the authors' code (Brevitas, graph/qronos.py; test/parity/brevitas-goldens.py) but for ties of rounding.
// Cost: 2 I · O operations beside corrected_weight (6 I² · O) and GPTQ's I² · O; a second factor and inverse (⅔ I³), as corrected_weight and the walk have columns in different orders.
#include <cmath>
#include <string>
#include <vector>

#include "core/convert.h"
#include "quantizers/gptq-column.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"
#include "quantizers/solver-inputs.h"

namespace bitwright {

Operation qronos_start_operation() {
  return {"qronos_start",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 8) return mismatch("weight, corrected weight, H, C, factor, scale, zero_point, permutation", in);
            Cells cells;
            if (Status status = check_integers(in, options, 5, cells); !status.ok()) return status;
            bool fits = has_zero_points(in, 5) && in[1].dtype == DType::F32 && in[1].shape == in[0].shape && cells.columns > 0 && is_per_column(in[7], DType::I32, cells.columns);
            for (size_t i = 2; i < 5; ++i) fits = fits && is_square(in[i], cells.columns);
            if (!fits) return mismatch("weight [O, I], corrected weight F32 [O, I], H, C, factor F32 [I, I], scale, zero_point I8, permutation I32 [I] or none", in);
            out = {{DType::F32, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            if (Status status = check_permutation(in[7], cells.columns); !status.ok()) return status;
            const int64_t I = cells.columns;
            const int32_t* permutation = ints_or_null(in[7]);
            const int64_t first = column_at(permutation, 0);
            const FloatView weight(in[0]), scales(in[5]);
            const float *corrected = in[1].as<float>(), *H = in[2].as<float>(), *C = in[3].as<float>(), *U = in[4].as<float>();
            // A first column that is dead is zero, as GPTQ leaves it, and takes nothing from the others.
            const float h = H[first * I + first];
            const bool dead = !(h > 0);
            context.pool.parallel_chunks(cells.rows, 16, [&](int64_t begin, int64_t end) {
              for (int64_t row = begin; row < end; ++row) {
                const float *w = weight.data() + row * I, *from = corrected + row * I;
                float* to = out[0].as<float>() + row * I;
                double product = 0;
                for (int64_t j = 0; j < I; ++j) product += static_cast<double>(w[j]) * (static_cast<double>(C[j * I + first]) - static_cast<double>(H[j * I + first]));
                const int64_t index = cells.index(row, cells.group_of(first, nullptr));
                const float target = dead ? 0.0f : static_cast<float>(static_cast<double>(w[first]) + product / static_cast<double>(h)), scale = scales.data()[index], z = static_cast<float>(in[6].as<int8_t>()[index]);
                const float value = dead ? 0.0f : (code_of<F32Type, Integers>(target, scale, z, grid.qmin(), grid.qmax()) - z) * scale, error = (from[first] - value) / U[0];
                to[first] = value;
                for (int64_t k = 1; k < I; ++k) {
                  const int64_t column = column_at(permutation, k);
                  to[column] = from[column] - error * U[k];
                }
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
