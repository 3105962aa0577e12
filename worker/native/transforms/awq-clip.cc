// AWQ's search for clipping, as its authors' code and AutoAWQ do it (Lin et al., arXiv 2306.00978; the paper itself has the scales alone): weights beyond a part of the
// largest magnitude of their cell are cut to it, where that makes the error of the cell's own share of the output smaller.
//
//   code            here         shape     meaning
//   w               W            O × I     weight after scaling; a cell is what shares a scale
//   max_val         factor       cells     part of max |w| of the cell that weights may have
//   input · q_w     –            –         the authors compare outputs of sampled tokens; (w - ŵ)_g H_gg (w - ŵ)_gᵀ is that sum over all tokens
//   err             errors       cells     F64, up to the factor that H has
//
// Products are single precision on the fixed tiles of core/gemm, their sums double and in the order of the columns. Cost: O · I (clip_cells), O · I · columns of a cell.
#include "transforms/awq-clip.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"

namespace bitwright {

/// W and What [O, I] of one weight type, H F32 [I, I] → F64 of the shape of the scales: (w - ŵ) H (w - ŵ)ᵀ of every cell.
Operation cell_errors_operation() {
  return {"cell_errors",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || !is_float(in[1].dtype) || in[1].shape != in[0].shape || in[2].dtype != DType::F32 ||
                in[2].shape != Shape{in[0].shape[1], in[0].shape[1]})
              return mismatch("two weights [O, I] and H F32 [I, I]", in);
            Cells cells;
            if (Status status = clip_cells_from(options, in[0].shape, cells); !status.ok()) return status;
            out = {{DType::F64, cells.scale_shape()}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            (void)clip_cells_from(options, in[0].shape, cells);
            const int64_t O = cells.rows, I = cells.columns, size = cells.group_size;
            const FloatView W(in[0]), What(in[1]);
            const float* H = in[2].as<float>();
            double* errors = out[0].as<double>();
            std::vector<float> difference(static_cast<size_t>(O * I)), product(static_cast<size_t>(O * size));
            context.pool.parallel_chunks(O * I, 1 << 14, [&](int64_t begin, int64_t end) {
              for (int64_t k = begin; k < end; ++k) difference[static_cast<size_t>(k)] = W.data()[k] - What.data()[k];
            });
            std::vector<double> of_rows(static_cast<size_t>(O));
            for (int64_t g = 0; g < cells.n_groups && !context.cancelled(); ++g) {
              const float* own = difference.data() + g * size;
              gemm_nn(context.pool, O, size, size, 1.0f, own, I, H + g * size * I + g * size, I, 0.0f, product.data(), size);
              context.pool.parallel_chunks(O, 64, [&](int64_t begin, int64_t end) {
                for (int64_t o = begin; o < end; ++o) {
                  double sum = 0;
                  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(own[o * I + i]) * product[static_cast<size_t>(o * size + i)];
                  of_rows[static_cast<size_t>(o)] = sum;
                }
              });
              if (cells.strategy == Cells::Strategy::tensor) {
                errors[0] = 0;
                for (double error : of_rows) errors[0] += error;
              } else {
                for (int64_t o = 0; o < O; ++o) errors[o * cells.n_groups + g] = of_rows[static_cast<size_t>(o)];
              }
            }
            return context.cancelled() ? Status::cancelled() : Status::fine();
          }};
}

/// weight [O, I], factors F32 of the shape of the scales → every weight within factor · max |w| of its cell, rounded to the dtype of the weight; a factor of 1 changes nothing.
Operation clip_cells_operation() {
  return {"clip_cells",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || in[1].dtype != DType::F32) return mismatch("weight [O, I] and factors F32", in);
            Cells cells;
            if (Status status = clip_cells_from(options, in[0].shape, cells); !status.ok()) return status;
            if (in[1].count() != count_of(cells.scale_shape())) return mismatch("factors " + text_of(cells.scale_shape()), in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Cells cells;
            (void)clip_cells_from(options, in[0].shape, cells);
            const float* factors = in[1].as<float>();
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              const auto* x = in[0].as<typename T::Stored>();
              auto* y = out[0].as<typename T::Stored>();
              const auto largest = [&](int64_t begin, int64_t n) {
                float most = 0;
                for (int64_t i = begin; i < begin + n; ++i) most = std::max(most, std::fabs(T::load(x[i])));
                return most;
              };
              std::vector<float> maxima(static_cast<size_t>(cells.rows));
              const bool per_tensor = cells.strategy == Cells::Strategy::tensor;
              if (per_tensor) {
                context.pool.parallel_chunks(cells.rows, 64, [&](int64_t begin, int64_t end) {
                  for (int64_t r = begin; r < end; ++r) maxima[static_cast<size_t>(r)] = largest(r * cells.columns, cells.columns);
                });
              }
              const float all = maxima.empty() ? 0.0f : *std::max_element(maxima.begin(), maxima.end());
              context.pool.parallel_chunks(cells.rows, 64, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r)
                  for (int64_t g = 0; g < cells.n_groups; ++g) {
                    const int64_t first = r * cells.columns + g * cells.group_size;
                    const float limit = rounded_to<T>((per_tensor ? all : largest(first, cells.group_size)) * factors[cells.index(r, g)]);
                    for (int64_t i = first; i < first + cells.group_size; ++i) y[i] = T::store(std::clamp(T::load(x[i]), -limit, limit));
                  }
              });
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
