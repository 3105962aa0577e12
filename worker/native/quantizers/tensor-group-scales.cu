// NVFP4's two levels of scales on a CUDA device: see tensor-group-scales.cc. One thread per scale; the arithmetic is grid.h.
#include "cuda/launch.cuh"
#include "quantizers/grid.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {

namespace {

template <class T>
void scale_tensor(Context& context, const float* largest, float* scale) {
  FaultSlot* slot = context.fault([](uint32_t, uint32_t bits) { return "the largest magnitude is " + std::to_string(float_of(bits)); });
  for_each(context, 1, [=] __device__(int64_t) {
    if (!isfinite(*largest)) report(slot, 0, bits_of(*largest));
    *scale = global_scale_of<T>(rounded_to<T>(*largest));
  });
}

template <class T>
void scale_groups(Context& context, const Views& in, const Views& out) {
  const auto* largest = in[0].as<typename T::Stored>();
  const float* G = in[1].as<float>();
  uint8_t* codes = out[0].as<uint8_t>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { codes[i] = e4m3_code(tensor_group_scale(*G, rounded_to<T>(T::load(largest[i]) / e2m1_max))); });
}

}  // namespace

void global_scale(Context& context, const Views& in, const Views& out, const Options& options) {
  DType dtype = DType::F32;
  (void)dtype_from_name(options.text("dtype"), dtype);
  with_weight_type(dtype, [&](auto type) { scale_tensor<decltype(type)>(context, in[0].as<float>(), out[0].as<float>()); });
}

void tensor_group_scales(Context& context, const Views& in, const Views& out, const Options&) {
  with_weight_type(in[0].dtype, [&](auto type) { scale_groups<decltype(type)>(context, in, out); });
}

void effective_scales(Context& context, const Views& in, const Views& out, const Options&) {
  const uint8_t* codes = in[0].as<uint8_t>();
  const float* G = in[1].as<float>();
  float* scales = out[0].as<float>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { scales[i] = e4m3_value(codes[i]) / *G; });
}

}  // namespace bitwright::cuda
