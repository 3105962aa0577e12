// GPFQ: greedy path following. Each code makes up for the error of all codes before it, and looks at none behind it.
// Zhang, Zhou and Saab, "Post-training Quantization for Neural Networks with Provable Guarantees", arXiv 2201.11113; Lybrand and Saab, arXiv 2010.11258.
//
//   paper   here    shape   meaning
//   X, X̃    –       –       inputs of the layer in the float model, and behind the quantized layers; never kept
//   –       H       I × I   X̃ᵀX̃
//   –       C       I × I   XᵀX̃, so that C_jt = ⟨X_j, X̃_t⟩; without it X = X̃ and C = H
//   u_t     P       I × O   ⟨u_{t-1}, X̃_t⟩ of every column: what the columns before t leave, u_t = u_{t-1} + w_t X_t - ŵ_t X̃_t
//   q_t     q       O × I   code of ⟨u_{t-1} + w_t X_t, X̃_t⟩ / ‖X̃_t‖² = (P_t + w_t C_tt) / H_tt; of zero where the mask `kept` says so
//
// Differences from the paper: u is not kept, only its products with the columns to come, which are sums of rows of C and H; so columns are handled in blocks of 128 and
// the rest is updated by two matrix products. Scales are those of the observer; the paper's are found by a search over a factor of the median weight.
// Cost: 2 I² · O operations (I² · O without C), no inverse.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"
#include "quantizers/solver-inputs.h"

namespace bitwright {
namespace {

constexpr int64_t row_tile = 64, block_size = 128;

}  // namespace

Operation quantize_gpfq_operation() {
  return {"quantize_gpfq",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 6) return mismatch("weight, H, C, scale, zero_point, kept", in);
            Cells cells;
            if (Status status = check_integers(in, options, 3, cells); !status.ok()) return status;
            const int64_t I = cells.columns;
            const bool fits = has_zero_points(in, 3) && is_square(in[1], I) && (!in[2].present || is_square(in[2], I)) && is_mask(in[5], in[0]);
            if (!fits) return mismatch("weight [O, I], H F32 [I, I], C F32 [I, I] or none, scale, zero_point I8, kept U8 [O, I] or none", in);
            out = {{DType::I8, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            const int64_t O = cells.rows, I = cells.columns, n_tiles = (O + row_tile - 1) / row_tile, padded = n_tiles * row_tile;
            const float *H = in[1].as<float>(), *C = in[2].present ? in[2].as<float>() : H, qmin = grid.qmin(), qmax = grid.qmax();
            for (int64_t i = 0; i < I; ++i)
              if (!std::isfinite(H[i * I + i]) || H[i * I + i] < 0) return Status::error("diag(H) at column " + std::to_string(i) + " is " + std::to_string(H[i * I + i]));
            const FloatView weight(in[0]), scales(in[3]);
            const uint8_t* const kept = in[5].present ? in[5].as<uint8_t>() : nullptr;
            std::vector<float> P(static_cast<size_t>(I * padded)), w(static_cast<size_t>(block_size * padded)), v(w.size());
            std::vector<uint8_t> failed(static_cast<size_t>(O));
            for (int64_t begin = 0; begin < I; begin += block_size) {
              if (context.cancelled()) return Status::cancelled();
              const int64_t end = std::min(I, begin + block_size);
              context.pool.parallel_for(n_tiles, [&](int64_t tile) {
                const int64_t first_row = tile * row_tile, n_rows = std::min(row_tile, O - first_row);
                for (int64_t t = begin; t < end; ++t) {
                  float *wt = w.data() + (t - begin) * padded + first_row, *vt = v.data() + (t - begin) * padded + first_row, *p = P.data() + t * padded + first_row;
                  const int64_t group = cells.group_of(t, nullptr);
                  for (int64_t r = 0; r < n_rows; ++r) {
                    const int64_t row = first_row + r, index = cells.index(row, group);
                    const float scale = scales.data()[index], z = static_cast<float>(in[4].as<int8_t>()[index]), x = weight.data()[row * I + t];
                    // A column whose input is always zero says nothing about its code: zero.
                    const float target = H[t * I + t] > 0 && (kept == nullptr || kept[row * I + t] == 0) ? (p[r] + x * C[t * I + t]) / H[t * I + t] : 0.0f;
                    if (!std::isfinite(target) || !std::isfinite(scale)) failed[static_cast<size_t>(row)] = 1;
                    const float code = code_of<F32Type, Integers>(target, scale, z, qmin, qmax);
                    out[0].as<int8_t>()[row * I + t] = static_cast<int8_t>(code);
                    wt[r] = x;
                    vt[r] = (code - z) * scale;
                  }
                  for (int64_t k = t + 1; k < end; ++k) {
                    const float c = C[t * I + k], h = H[t * I + k];
                    float* pk = P.data() + k * padded + first_row;
                    for (int64_t r = 0; r < n_rows; ++r) pk[r] += wt[r] * c - vt[r] * h;
                  }
                }
              });
              gemm_tn(context.pool, I - end, padded, end - begin, 1.0f, C + begin * I + end, I, w.data(), padded, 1.0f, P.data() + end * padded, padded);
              gemm_tn(context.pool, I - end, padded, end - begin, -1.0f, H + begin * I + end, I, v.data(), padded, 1.0f, P.data() + end * padded, padded);
            }
            for (int64_t r = 0; r < O; ++r)
              if (failed[static_cast<size_t>(r)] != 0) return Status::error("row " + std::to_string(r) + " reaches values that are not finite: its weights, its scales or the Gram matrices are not");
            return Status::fine();
          }};
}

}  // namespace bitwright
