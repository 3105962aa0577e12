// SmoothQuant on a CUDA device: see smoothquant.cc.
#include "cuda/columns.cuh"
#include "cuda/operations.h"
#include "cuda/reductions.cuh"
#include "transforms/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr float smallest_scale = 1e-5f;

void column_absmax_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t O = in[1].extent(0), I = in[1].extent(1);
  const AnyFloat weight(in[1]);
  float* absmax = in[0].as<float>();
  for_columns(
      context, O, I, 0.0f, [=] __device__(int64_t row, int64_t column) { return fabsf(weight.value(row * I + column)); }, Larger{},
      [=] __device__(int64_t column, float found) {
        if (O > 0) absmax[column] = fmaxf(absmax[column], found);
      });
}

void smoothquant_scales(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t I = in[1].count();
  const float alpha = static_cast<float>(options.number("smoothing_strength"));
  const bool logarithmic = options.text("algorithm") == "log_equalization";
  const float *ranges = in[0].as<float>(), *absmax = in[1].as<float>();
  float* scales = out[0].as<float>();
  FaultSlot* slot = context.fault([](uint32_t channel, uint32_t) { return "the range of channel " + std::to_string(channel) + " is not finite"; });
  for_each(context, I, [=] __device__(int64_t i) {
    const float a = ranges[I + i] - ranges[i], w = 2.0f * absmax[i];
    if (!isfinite(a)) report(slot, i, 0);
    const float s = logarithmic ? a / log2f(2.0f + a) : w > 0 ? powf(a, alpha) / powf(w, 1.0f - alpha) : a;
    scales[i] = s < smallest_scale ? smallest_scale : s;
  });
}

/// y = x · s per column, or x / s per leading row, rounded to the dtype of x.
template <class T, bool columns>
void scale(Context& context, const Views& in, const Views& out) {
  const int64_t width = in[0].row_size();
  const float* s = in[1].as<float>();
  const auto* x = in[0].as<typename T::Stored>();
  auto* y = out[0].as<typename T::Stored>();
  for_rows(context, in[0].extent(0), width, [=] __device__(int64_t row, int64_t column) {
    const float value = T::load(x[row * width + column]);
    y[row * width + column] = T::store(columns ? value * s[column] : value / s[row]);
  });
}

void multiply_columns(Context& context, const Views& in, const Views& out, const Options&) {
  with_weight_type(in[0].dtype, [&](auto type) { scale<decltype(type), true>(context, in, out); });
}

void divide_rows(Context& context, const Views& in, const Views& out, const Options&) {
  with_weight_type(in[0].dtype, [&](auto type) { scale<decltype(type), false>(context, in, out); });
}

}  // namespace

KernelList transform_kernels() {
  return {{"column_absmax_accumulate", column_absmax_accumulate},
          {"smoothquant_scales", smoothquant_scales},
          {"multiply_columns", multiply_columns},
          {"divide_rows", divide_rows},
          {"column_abs_sum_accumulate", column_abs_sum_accumulate},
          {"awq_weight_sum_accumulate", awq_weight_sum_accumulate},
          {"awq_scales", awq_scales},
          {"divide_columns", divide_columns},
          {"squared_error_accumulate", squared_error_accumulate},
          {"hadamard_transform", hadamard_transform},
          {"rotate", rotate},
          {"output_shift", output_shift},
          {"variance_sums", variance_sums},
          {"cell_errors", cell_errors},
          {"clip_cells", clip_cells},
          {"residual_columns", residual_columns},
          {"low_rank_residual", low_rank_residual}};
}

}  // namespace bitwright::cuda
