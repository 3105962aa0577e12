// SmoothQuant (Xiao et al., arXiv 2211.10438, equation 4): move the difficulty of activation channels into the weights, the function unchanged.
//
//   paper      here     shape   meaning
//   max|X_j|   a        I       range of input channel j over calibration: max - min, as llm-compressor 0.13 takes it
//   max|W_j|   w        I       2 · max |weight| of column j over all balance layers (so that both are ranges)
//   α          alpha            smoothing_strength
//   s_j        s        I       a^α / w^(1-α); a where w is 0; at least 1e-5
//
// Balance layers: columns · s; smooth layer (norm weight, bias, rows): / s. log_equalization: s = a / log2(2 + a).
// Source: llm-compressor 0.13, modifiers/transform/smoothquant/base.py. Cost: I, and O · I for each application.
#include <cmath>

#include "core/convert.h"
#include "core/operations.h"
#include "core/vector-math.h"
#include "transforms/awq-clip.h"
#include "transforms/awq.h"
#include "transforms/corrections.h"
#include "transforms/hadamard.h"

namespace bitwright {
namespace {

constexpr float smallest_scale = 1e-5f;

Operation column_absmax_accumulate_operation() {
  return {"column_absmax_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[0].dtype != DType::F32 || !is_float(in[1].dtype) || in[1].shape.size() != 2 || in[0].count() != in[1].shape[1]) return mismatch("absmax F32 [I] and weight [O, I]", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t O = in[1].extent(0), I = in[1].extent(1);
            const FloatView weight(in[1]);
            float* absmax = in[0].as<float>();
            context.pool.parallel_chunks(I, 256, [&](int64_t begin, int64_t end) {
              for (int64_t o = 0; o < O; ++o)
                for (int64_t c = begin; c < end; ++c) absmax[c] = std::fmax(absmax[c], std::fabs(weight.data()[o * I + c]));
            });
            return Status::fine();
          }};
}

Operation smoothquant_scales_operation() {
  return {"smoothquant_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || in[0].dtype != DType::F32 || in[1].dtype != DType::F32 || in[0].shape != Shape{2, in[1].count()}) return mismatch("ranges F32 [2, I] and absmax F32 [I]", in);
            if (options.text("algorithm") != "smoothquant" && options.text("algorithm") != "log_equalization")
              return Status::error("algorithm " + options.text("algorithm") + " is neither smoothquant nor log_equalization");
            out = {{DType::F32, {in[1].count()}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options& options) {
            const int64_t I = in[1].count();
            const float alpha = static_cast<float>(options.number("smoothing_strength"));
            const bool logarithmic = options.text("algorithm") == "log_equalization";
            for (int64_t i = 0; i < I; ++i) {
              const float a = in[0].as<float>()[I + i] - in[0].as<float>()[i], w = 2.0f * in[1].as<float>()[i];
              if (!std::isfinite(a)) return Status::error("the range of channel " + std::to_string(i) + " is not finite");
              const float s = logarithmic ? a / std::log2(2.0f + a) : w > 0 ? std::pow(a, alpha) / std::pow(w, 1.0f - alpha) : a;
              out[0].as<float>()[i] = s < smallest_scale ? smallest_scale : s;
            }
            return Status::fine();
          }};
}

/// y = x · s per column, or x / s per leading row, rounded to the dtype of x.
template <bool columns>
Status scale(RunContext& context, const Views& in, const Views& out, const Options&) {
  const int64_t rows = in[0].extent(0), width = in[0].row_size();
  const float* s = in[1].as<float>();
  with_weight_type(in[0].dtype, [&](auto type) {
    using T = decltype(type);
    const auto* x = in[0].as<typename T::Stored>();
    auto* y = out[0].as<typename T::Stored>();
    context.pool.parallel_chunks(rows, 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < width; ++c) {
          const float value = T::load(x[r * width + c]);
          y[r * width + c] = T::store(columns ? value * s[c] : value / s[r]);
        }
    });
  });
  return Status::fine();
}

Operation multiply_columns_operation() {
  return {"multiply_columns",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].count() != in[0].shape[1]) return mismatch("weight [O, I] and s F32 [I]", in);
            out = {in[0]};
            return Status::fine();
          },
          scale<true>};
}

Operation divide_rows_operation() {
  return {"divide_rows",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.empty() || in[1].dtype != DType::F32 || in[1].count() != in[0].shape[0]) return mismatch("weight [O, …] and s F32 [O]", in);
            out = {in[0]};
            return Status::fine();
          },
          scale<false>};
}

}  // namespace

OperationList transform_operations() {
  return {column_absmax_accumulate_operation(), smoothquant_scales_operation(),        multiply_columns_operation(), divide_rows_operation(),
          column_abs_sum_accumulate_operation(), awq_weight_sum_accumulate_operation(), awq_scales_operation(),       divide_columns_operation(),
          squared_error_accumulate_operation(), hadamard_transform_operation(),        rotate_operation(),           output_shift_operation(),
          variance_sums_operation(),            cell_errors_operation(),               clip_cells_operation(),
          low_rank_residual_operation(),         residual_columns_operation()};
}

}  // namespace bitwright
