// Storage of 4-bit floats and powers of two on a CUDA device: see float-codes.cc.
#include "cuda/launch.cuh"
#include "formats/kernels.h"
#include "quantizers/grid.h"

namespace bitwright::cuda {

void pack_fp4(Context& context, const Views& in, const Views& out, const Options&) {
  const uint8_t* codes = in[0].as<uint8_t>();
  uint8_t* packed = out[0].as<uint8_t>();
  for_each(context, out[0].count(), [=] __device__(int64_t i) { packed[i] = static_cast<uint8_t>((codes[2 * i] & 15u) | (codes[2 * i + 1] & 15u) << 4); });
}

void unpack_fp4(Context& context, const Views& in, const Views& out, const Options&) {
  const uint8_t* packed = in[0].as<uint8_t>();
  uint8_t* codes = out[0].as<uint8_t>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) {
    codes[2 * i] = packed[i] & 15u;
    codes[2 * i + 1] = packed[i] >> 4;
  });
}

void e8m0_codes(Context& context, const Views& in, const Views& out, const Options&) {
  const AnyFloat scales(in[0]);
  uint8_t* codes = out[0].as<uint8_t>();
  FaultSlot* slot = context.fault([](uint32_t, uint32_t bits) { return "the scale " + std::to_string(float_of(bits)) + " is no power of two from 2^-127 to 2^127"; });
  for_each(context, in[0].count(), [=] __device__(int64_t i) {
    const float scale = scales.value(i);
    const uint8_t code = e8m0_code(scale);
    if (!isfinite(scale) || e8m0_value(code) != scale) report(slot, i, bits_of(scale));
    codes[i] = code;
  });
}

void e8m0_scales(Context& context, const Views& in, const Views& out, const Options&) {
  const uint8_t* codes = in[0].as<uint8_t>();
  uint16_t* scales = out[0].as<uint16_t>();
  for_each(context, in[0].count(), [=] __device__(int64_t i) { scales[i] = float_to_bf16(e8m0_value(codes[i])); });
}

}  // namespace bitwright::cuda
