// GPTQ's column loop: see gptq.h for the legend.
//
// V is kept transposed so that a tile of 64 rows of W is contiguous per column; a tile goes through a block of columns alone, 16 columns at a time:
// inside the 16 the update is immediate, the rest of the block gets all 16 at once. The columns behind the block are updated by one matrix product.
#include "quantizers/gptq.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/large-scratch.h"
#include "core/vector-math.h"
#include "quantizers/gptq-column.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"
#include "quantizers/solver-inputs.h"

namespace bitwright {
namespace {

constexpr int64_t row_tile = 64, sub_block = 16;

/// V [count × 64] += what n_errors columns left, weighted by R: V[k] += Σ_c E[c] · R[c][k], for the columns behind a sub-block.
BITWRIGHT_VECTOR void spread_errors(float* V, int64_t count, const float* E, int64_t n_errors, const float* R, int64_t ldr) {
  for (int64_t k = 0; k < count; ++k) {
    float sums[row_tile];
    for (int64_t r = 0; r < row_tile; ++r) sums[r] = V[k * row_tile + r];
    for (int64_t c = 0; c < n_errors; ++c) {
      const float weight = R[c * ldr + k];
      for (int64_t r = 0; r < row_tile; ++r) sums[r] += E[c * row_tile + r] * weight;
    }
    for (int64_t r = 0; r < row_tile; ++r) V[k * row_tile + r] = sums[r];
  }
}

/// One column of a tile: codes q, what they leave of w, loss.
template <class T, class Codes>
inline __attribute__((always_inline)) void quantize_column(const float* w, const float* V, const float* scale, const float* zero_point, float diagonal, float qmin, float qmax, float* codes, float* E, double* loss) {
  const float inverse = 1.0f / diagonal;
  for (int64_t r = 0; r < row_tile; ++r) {
    const RoundedWeight rounded = round_weight<T, Codes>(w[r] + V[r] * inverse, scale[r], zero_point[r], qmin, qmax);
    codes[r] = rounded.code;
    E[r] = w[r] - rounded.value;
  }
  for (int64_t r = 0; r < row_tile; ++r) {
    const float error = V[r] + E[r] * diagonal;
    loss[r] += 0.5 * static_cast<double>(error) * static_cast<double>(error);
  }
}

// One plain function per type of the scale and kind of codes, so that each gets its vector copies.
#define BITWRIGHT_COLUMN(name, T, Codes)                                                                                                                             \
  BITWRIGHT_VECTOR void name(const float* w, const float* V, const float* s, const float* z, float d, float lo, float hi, float* q, float* E, double* loss) {       \
    quantize_column<T, Codes>(w, V, s, z, d, lo, hi, q, E, loss);                                                                                                   \
  }
BITWRIGHT_COLUMN(quantize_column_f32, F32Type, Integers)
BITWRIGHT_COLUMN(quantize_column_bf16, BF16Type, Integers)
BITWRIGHT_COLUMN(quantize_column_f16, F16Type, Integers)
BITWRIGHT_COLUMN(quantize_column_e4m3_f32, F32Type, E4M3)
BITWRIGHT_COLUMN(quantize_column_e4m3_bf16, BF16Type, E4M3)
BITWRIGHT_COLUMN(quantize_column_e4m3_f16, F16Type, E4M3)
BITWRIGHT_COLUMN(quantize_column_e2m1_f32, F32Type, E2M1)
BITWRIGHT_COLUMN(quantize_column_e2m1_bf16, BF16Type, E2M1)
BITWRIGHT_COLUMN(quantize_column_e2m1_f16, F16Type, E2M1)
BITWRIGHT_COLUMN(quantize_column_odd_f32, F32Type, OddIntegers)
BITWRIGHT_COLUMN(quantize_column_odd_bf16, BF16Type, OddIntegers)
BITWRIGHT_COLUMN(quantize_column_odd_f16, F16Type, OddIntegers)
BITWRIGHT_COLUMN(quantize_column_powers_f32, F32Type, PowersOfTwo)
BITWRIGHT_COLUMN(quantize_column_powers_bf16, BF16Type, PowersOfTwo)
BITWRIGHT_COLUMN(quantize_column_powers_f16, F16Type, PowersOfTwo)
#undef BITWRIGHT_COLUMN

using ColumnFunction = void (*)(const float*, const float*, const float*, const float*, float, float, float, float*, float*, double*);
ColumnFunction column_function(const Grid& grid, DType dtype) {
  return with_codes(grid, [&](auto codes) -> ColumnFunction {
    using Codes = decltype(codes);
    const auto of = [&](ColumnFunction f32, ColumnFunction bf16, ColumnFunction f16) { return dtype == DType::BF16 ? bf16 : dtype == DType::F16 ? f16 : f32; };
    if constexpr (std::is_same_v<Codes, E4M3>) return of(quantize_column_e4m3_f32, quantize_column_e4m3_bf16, quantize_column_e4m3_f16);
    else if constexpr (std::is_same_v<Codes, E2M1>) return of(quantize_column_e2m1_f32, quantize_column_e2m1_bf16, quantize_column_e2m1_f16);
    else if constexpr (std::is_same_v<Codes, OddIntegers>) return of(quantize_column_odd_f32, quantize_column_odd_bf16, quantize_column_odd_f16);
    else if constexpr (std::is_same_v<Codes, PowersOfTwo>) return of(quantize_column_powers_f32, quantize_column_powers_bf16, quantize_column_powers_f16);
    else return of(quantize_column_f32, quantize_column_bf16, quantize_column_f16);
  });
}

}  // namespace

Operation quantize_gptq_operation() {
  return {"quantize_gptq",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 7) return mismatch("weight, factor, scale, zero_point, permutation, g_idx, dead", in);
            Cells cells;
            if (Status status = check_scaled(in, options, 2, cells); !status.ok()) return status;
            const int64_t I = cells.columns;
            const bool fits = has_zero_points(in, 2) && is_square(in[1], I) && is_per_column(in[4], DType::I32, I) && is_per_column(in[5], DType::I32, I) && is_per_column(in[6], DType::U8, I);
            if (!fits) return mismatch("weight [O, I], factor F32 [I, I], scale, zero_point I8, permutation I32 [I], g_idx I32 [I], dead U8 [I]", in);
            if (options.integer("block_size") < 1) return Status::error("block_size " + std::to_string(options.integer("block_size")) + " is below 1");
            Grid grid;
            (void)grid_from(options, grid);
            out = {{grid.code_dtype(), in[0].shape}, {DType::F64, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            Grid grid;
            (void)Cells::from(options, in[0].shape, cells);
            (void)grid_from(options, grid);
            if (Status status = check_groups(in[5], cells); !status.ok()) return status;
            if (Status status = check_permutation(in[4], cells.columns); !status.ok()) return status;
            const int64_t O = cells.rows, I = cells.columns, block_size = options.integer("block_size");
            const float *R = in[1].as<float>(), qmin = grid.qmin(), qmax = grid.qmax();
            const int32_t *permutation = ints_or_null(in[4]), *g_idx = ints_or_null(in[5]);
            const int64_t n_tiles = (O + row_tile - 1) / row_tile, padded = n_tiles * row_tile;

            // V [I × padded O] in solving order; the first block finds and leaves nothing there.
            const LargeScratch V = large_scratch(I * padded), E = large_scratch(std::min(block_size, I) * padded);
            const FloatView weight(in[0]), scales(in[2]);
            const auto is_dead = [&](int64_t column) { return in[6].present && in[6].as<uint8_t>()[column] != 0; };
            const ColumnFunction quantize_one = column_function(grid, in[2].dtype);
            double* loss = out[1].as<double>();
            std::fill(loss, loss + O, 0.0);
            for (int64_t begin = 0; begin < I; begin += block_size) {
              if (context.cancelled()) return Status::cancelled();
              const int64_t end = std::min(I, begin + block_size), count = end - begin;
              context.pool.parallel_for(n_tiles, [&](int64_t t) {
                const int64_t first_row = t * row_tile, n_rows = std::min(row_tile, O - first_row);
                static thread_local std::vector<float> weights, tile, errors;
                for (std::vector<float>* values : {&weights, &tile, &errors}) values->resize(static_cast<size_t>(count * row_tile));
                for (int64_t k = 0; k < count; ++k) {
                  const int64_t column = column_at(permutation, begin + k), n_used = is_dead(column) ? 0 : n_rows;
                  const float* from = weight.data() + first_row * I + column;
                  float* const to = weights.data() + k * row_tile;
                  for (int64_t r = 0; r < row_tile; ++r) to[r] = r < n_used ? from[r * I] : 0.0f;
                  if (begin > 0) std::copy_n(V.get() + (begin + k) * padded + first_row, row_tile, tile.data() + k * row_tile);
                  else std::fill_n(tile.data() + k * row_tile, row_tile, 0.0f);
                }
                float scale[row_tile], zero_point[row_tile], codes[row_tile];
                std::fill_n(scale, row_tile, 1.0f);
                std::fill_n(zero_point, row_tile, 0.0f);
                double tile_loss[row_tile] = {};
                int64_t group = -1;
                for (int64_t sub = 0; sub < count; sub += sub_block) {
                  const int64_t sub_end = std::min(count, sub + sub_block);
                  for (int64_t k = sub; k < sub_end; ++k) {
                    const int64_t column = column_at(permutation, begin + k);
                    if (const int64_t here = cells.group_of(column, g_idx); here != group) {
                      group = here;
                      for (int64_t r = 0; r < n_rows; ++r) {
                        const int64_t index = cells.index(first_row + r, group);
                        scale[r] = scales.data()[index];
                        zero_point[r] = static_cast<float>(in[3].as<int8_t>()[index]);
                      }
                    }
                    const float* from = R + (begin + k) * I + begin;
                    quantize_one(weights.data() + k * row_tile, tile.data() + k * row_tile, scale, zero_point, from[k], qmin, qmax, codes, errors.data() + k * row_tile, tile_loss);
                    with_codes(grid, [&](auto kind) {
                      for (int64_t r = 0; r < n_rows; ++r) out[0].as<uint8_t>()[(first_row + r) * I + column] = decltype(kind)::code(codes[r]);
                    });
                    spread_errors(tile.data() + (k + 1) * row_tile, sub_end - k - 1, errors.data() + k * row_tile, 1, from + k + 1, I);
                  }
                  spread_errors(tile.data() + sub_end * row_tile, count - sub_end, errors.data() + sub * row_tile, sub_end - sub, R + (begin + sub) * I + begin + sub_end, I);
                }
                for (int64_t k = 0; k < count; ++k) std::copy_n(errors.data() + k * row_tile, row_tile, E.get() + k * padded + first_row);
                for (int64_t r = 0; r < n_rows; ++r) loss[first_row + r] += tile_loss[r];
              });
              gemm_tn(context.pool, I - end, padded, count, 1.0f, R + begin * I + end, I, E.get(), padded, begin > 0 ? 1.0f : 0.0f, V.get() + end * padded, padded);
            }
            // A NaN in weight, scale or factor, or an error that grew over all bounds, has reached the loss of its row.
            for (int64_t r = 0; r < O; ++r)
              if (!std::isfinite(loss[r])) return Status::error("the loss of row " + std::to_string(r) + " is " + std::to_string(loss[r]) + ": its weights, its scales or the factor are not finite");
            return Status::fine();
          }};
}

}  // namespace bitwright
