// How compressed-tensors stores 4-bit floats and powers of two.
//
//   pack_fp4     codes U8 [O, I] (0 … 15, one per byte) → U8 [O, I / 2]: the even column in the low nibble, the odd one above it     4 bits per weight
//   e8m0_codes   scales that are powers of two → U8: 127 + log2(scale)                                                              8 bits per scale
//   e8m0_scales  and back, as BF16, which every reader of compressed-tensors takes
//
// Sources: compressed-tensors 0.18, compressors/nvfp4/helpers.py and compressors/mx_utils.py.
#include "core/convert.h"
#include "formats/formats.h"
#include "quantizers/grid.h"

namespace bitwright {
namespace {

constexpr int64_t grain = 1 << 15;

}  // namespace

Operation pack_fp4_operation() {
  return {"pack_fp4",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::U8 || in[0].shape.size() != 2 || in[0].shape[1] % 2 != 0) return mismatch("codes U8 [O, I] with an even I", in);
            out = {{DType::U8, {in[0].shape[0], in[0].shape[1] / 2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const uint8_t* codes = in[0].as<uint8_t>();
            context.pool.parallel_chunks(out[0].count(), grain, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) out[0].as<uint8_t>()[i] = static_cast<uint8_t>((codes[2 * i] & 15u) | (codes[2 * i + 1] & 15u) << 4);
            });
            return Status::fine();
          }};
}

Operation unpack_fp4_operation() {
  return {"unpack_fp4",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::U8 || in[0].shape.size() != 2) return mismatch("packed codes U8 [O, I / 2]", in);
            out = {{DType::U8, {in[0].shape[0], in[0].shape[1] * 2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            uint8_t* codes = out[0].as<uint8_t>();
            context.pool.parallel_chunks(in[0].count(), grain, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                codes[2 * i] = in[0].as<uint8_t>()[i] & 15u;
                codes[2 * i + 1] = in[0].as<uint8_t>()[i] >> 4;
              }
            });
            return Status::fine();
          }};
}

Operation e8m0_codes_operation() {
  return {"e8m0_codes",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("scales [O, G] in BF16, F16 or F32", in);
            out = {{DType::U8, in[0].shape}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            for (int64_t i = 0; i < in[0].count(); ++i) {
              const float scale = static_cast<float>(element_of(in[0], i));
              const uint8_t code = e8m0_code(scale);
              if (!std::isfinite(scale) || e8m0_value(code) != scale) return Status::error("the scale " + std::to_string(scale) + " is no power of two from 2^-127 to 2^127");
              out[0].as<uint8_t>()[i] = code;
            }
            return Status::fine();
          }};
}

Operation e8m0_scales_operation() {
  return {"e8m0_scales",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::U8 || in[0].shape.size() != 2) return mismatch("scales U8 [O, G] (E8M0)", in);
            out = {{DType::BF16, in[0].shape}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            for (int64_t i = 0; i < in[0].count(); ++i) out[0].as<uint16_t>()[i] = float_to_bf16(e8m0_value(in[0].as<uint8_t>()[i]));
            return Status::fine();
          }};
}

}  // namespace bitwright
