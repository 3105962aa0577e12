// The blocks of weights that GGUF files hold (llama.cpp's ggml types), taken apart: x̂ = d · scale[s] · q - dmin · min[s], s the sub-block of a weight.
//
//   type   weights  sub-block  q          scale        min       bytes   bits per weight
//   Q8_0   32       32         -127..127  1            –         34      8.5
//   Q4_0   32       32         -8..7      1            –         18      4.5
//   Q4_1   32       32         0..15        1            0..1      20      5
//   Q5_0   32       32         -16..15      1            –         22      5.5
//   Q5_1   32       32         0..31        1            0..1      24      6
//   Q2_K   256      16         0..3       0..15        0..15     84      2.625
//   Q3_K   256      16         -4..3      -32..31      –         110     3.4375
//   Q4_K   256      32         0..15      0..63        0..63     144     4.5
//   Q5_K   256      32         0..31      0..63        0..63     176     5.5
//   Q6_K   256      16         -32..31    -128..127    –         210     6.5625
//
// d and dmin are float16; Q4_1 and Q5_1 store -dmin. Products are rounded to float32 one by one, as readers do it. Source of the layout: the format's own reader, gguf 0.19 (gguf/quants.py).
#pragma once
#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/portable.h"

namespace bitwright {

enum class GgufType { Q8_0, Q4_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q4_1, Q5_0, Q5_1 };

struct GgufLayout {
  const char* name;
  int n_weights, sub_size, bytes;
  int q_min, q_max, scale_min, scale_max, min_max;
  BITWRIGHT_PORTABLE int n_subs() const { return n_weights / sub_size; }
  BITWRIGHT_PORTABLE bool has_min() const { return min_max > 0; }
};

inline constexpr GgufLayout gguf_layouts[] = {{"Q8_0", 32, 32, 34, -127, 127, 1, 1, 0},   {"Q4_0", 32, 32, 18, -8, 7, 1, 1, 0},       {"Q2_K", 256, 16, 84, 0, 3, 0, 15, 15},
                                              {"Q3_K", 256, 16, 110, -4, 3, -32, 31, 0},  {"Q4_K", 256, 32, 144, 0, 15, 0, 63, 63},   {"Q5_K", 256, 32, 176, 0, 31, 0, 63, 63},
                                              {"Q6_K", 256, 16, 210, -32, 31, -128, 127, 0}, {"Q4_1", 32, 32, 20, 0, 15, 1, 1, 1},       {"Q5_0", 32, 32, 22, -16, 15, 1, 1, 0},
                                              {"Q5_1", 32, 32, 24, 0, 31, 1, 1, 1}};

/// Null for a name that is none of the types above.
inline const GgufLayout* gguf_layout(const std::string& name, GgufType& type) {
  for (size_t i = 0; i < sizeof gguf_layouts / sizeof *gguf_layouts; ++i)
    if (name == gguf_layouts[i].name) {
      type = static_cast<GgufType>(i);
      return &gguf_layouts[i];
    }
  return nullptr;
}

struct GgufBlock {
  uint16_t d = 0, dmin = 0;  // float16
  int scale[16] = {}, min[16] = {};
  int q[256] = {};
};

/// All numbers of the block lie in the ranges of its layout.
void pack_gguf(GgufType type, const GgufBlock& block, uint8_t* bytes);
void unpack_gguf(GgufType type, const uint8_t* bytes, GgufBlock& block);
void gguf_values(const GgufLayout& layout, const GgufBlock& block, float* values);

// ---- where the bits lie, number by number ----------------------------------------------------------------------------------
//
// A super-block of 256 is written in runs, so that a reader takes 16, 32 or 64 bytes at a time: byte b of a field of `width` bits holds the weights b % stride, and
// those a stride behind it, one above the other.

/// The byte at `at` of such a field, from value(i) of weight i.
template <class Value>
BITWRIGHT_PORTABLE inline uint8_t gathered(int at, int width, int stride, const Value& value) {
  const int per_byte = 8 / width, first = at / stride * stride * per_byte + at % stride;
  int byte = 0;
  for (int k = 0; k < per_byte; ++k) byte |= value(first + k * stride) << (k * width);
  return static_cast<uint8_t>(byte);
}
BITWRIGHT_PORTABLE inline int gguf_field(const uint8_t* field, int i, int width, int stride) {
  const int run = stride * (8 / width);
  return field[i / run * stride + i % stride] >> (i % run / stride * width) & ((1 << width) - 1);
}
BITWRIGHT_PORTABLE inline uint16_t gguf_half(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

/// Of Q4_1 and Q5_1, which add where others subtract; 0 has no sign.
BITWRIGHT_PORTABLE inline uint16_t gguf_negative(uint16_t half) { return static_cast<uint16_t>(half == 0 ? 0 : half ^ 0x8000); }

/// Byte `at` of a block. Eight scales and eight mins of 6 bits take 12 bytes: the first four of each whole, beside them the upper bits of the others, whose lower bits
/// share bytes.
BITWRIGHT_PORTABLE inline uint8_t gguf_byte(GgufType type, const GgufBlock& block, int at) {
  const int *q = block.q, *scale = block.scale, *min = block.min;
  const auto half = [at](uint16_t value, int first) { return static_cast<uint8_t>(value >> (8 * (at - first))); };
  switch (type) {
    case GgufType::Q8_0: return at < 2 ? half(block.d, 0) : static_cast<uint8_t>(q[at - 2]);
    case GgufType::Q4_0: return at < 2 ? half(block.d, 0) : gathered(at - 2, 4, 16, [q](int i) { return q[i] + 8; });
    case GgufType::Q4_1:
      if (at < 4) return at < 2 ? half(block.d, 0) : half(min[0] == 0 ? uint16_t{0} : gguf_negative(block.dmin), 2);
      return gathered(at - 4, 4, 16, [q](int i) { return q[i]; });
    case GgufType::Q5_0:
    case GgufType::Q5_1: {
      // The fifth bit of each code in four bytes, weight by weight; the others behind them.
      const int begin = type == GgufType::Q5_0 ? 2 : 4, offset = type == GgufType::Q5_0 ? 16 : 0;
      if (at < begin) return at < 2 ? half(block.d, 0) : half(min[0] == 0 ? uint16_t{0} : gguf_negative(block.dmin), 2);
      if (at >= begin + 4) return gathered(at - begin - 4, 4, 16, [q, offset](int i) { return (q[i] + offset) & 15; });
      return gathered(at - begin, 1, 1, [q, offset](int i) { return (q[i] + offset) >> 4; });
    }
    case GgufType::Q2_K:
      if (at < 16) return static_cast<uint8_t>(scale[at] | min[at] << 4);
      if (at < 80) return gathered(at - 16, 2, 32, [q](int i) { return q[i]; });
      return at < 82 ? half(block.d, 80) : half(block.dmin, 82);
    case GgufType::Q3_K:
      // The upper of three bits, set where q is not negative.
      if (at < 32) return gathered(at, 1, 32, [q](int i) { return q[i] >= 0 ? 1 : 0; });
      if (at < 96) return gathered(at - 32, 2, 32, [q](int i) { return (q[i] + 4) & 3; });
      if (at < 104) return gathered(at - 96, 4, 8, [scale](int i) { return (scale[i] + 32) & 15; });
      return at < 108 ? gathered(at - 104, 2, 4, [scale](int i) { return (scale[i] + 32) >> 4; }) : half(block.d, 108);
    case GgufType::Q4_K:
    case GgufType::Q5_K: {
      if (at < 4) return at < 2 ? half(block.d, 0) : half(block.dmin, 2);
      const int j = at % 4;
      if (at < 8) return static_cast<uint8_t>(scale[j] | scale[j + 4] >> 4 << 6);
      if (at < 12) return static_cast<uint8_t>(min[j] | min[j + 4] >> 4 << 6);
      if (at < 16) return static_cast<uint8_t>((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
      if (type == GgufType::Q5_K && at < 48) return gathered(at - 16, 1, 32, [q](int i) { return q[i] >> 4; });
      return gathered(at - (type == GgufType::Q5_K ? 48 : 16), 4, 32, [q](int i) { return q[i] & 15; });
    }
    default:
      if (at < 128) return gathered(at, 4, 64, [q](int i) { return (q[i] + 32) & 15; });
      if (at < 192) return gathered(at - 128, 2, 32, [q](int i) { return (q[i] + 32) >> 4; });
      return at < 208 ? static_cast<uint8_t>(scale[at - 192]) : half(block.d, 208);
  }
}

BITWRIGHT_PORTABLE inline uint16_t gguf_d(GgufType type, const uint8_t* bytes) {
  return gguf_half(bytes + (type == GgufType::Q2_K ? 80 : type == GgufType::Q3_K ? 108 : type == GgufType::Q6_K ? 208 : 0));
}
BITWRIGHT_PORTABLE inline uint16_t gguf_dmin(GgufType type, const uint8_t* bytes) {
  if (type == GgufType::Q4_1 || type == GgufType::Q5_1) return gguf_negative(gguf_half(bytes + 2));
  return type == GgufType::Q2_K ? gguf_half(bytes + 82) : type == GgufType::Q4_K || type == GgufType::Q5_K ? gguf_half(bytes + 2) : uint16_t{0};
}
BITWRIGHT_PORTABLE inline int gguf_scale(GgufType type, const uint8_t* bytes, int s) {
  switch (type) {
    case GgufType::Q2_K: return bytes[s] & 15;
    case GgufType::Q3_K: return (gguf_field(bytes + 96, s, 4, 8) | gguf_field(bytes + 104, s, 2, 4) << 4) - 32;
    case GgufType::Q4_K:
    case GgufType::Q5_K: return s < 4 ? bytes[4 + s] & 63 : (bytes[8 + s] & 15) | bytes[s] >> 6 << 4;
    case GgufType::Q6_K: return static_cast<int8_t>(bytes[192 + s]);
    default: return 1;
  }
}
BITWRIGHT_PORTABLE inline int gguf_min(GgufType type, const uint8_t* bytes, int s) {
  if (type == GgufType::Q2_K) return bytes[s] >> 4;
  if (type == GgufType::Q4_1 || type == GgufType::Q5_1) return 1;
  if (type != GgufType::Q4_K && type != GgufType::Q5_K) return 0;
  return s < 4 ? bytes[8 + s] & 63 : bytes[8 + s] >> 4 | bytes[4 + s] >> 6 << 4;
}
BITWRIGHT_PORTABLE inline int gguf_code(GgufType type, const uint8_t* bytes, int i) {
  switch (type) {
    case GgufType::Q8_0: return static_cast<int8_t>(bytes[2 + i]);
    case GgufType::Q4_0: return gguf_field(bytes + 2, i, 4, 16) - 8;
    case GgufType::Q4_1: return gguf_field(bytes + 4, i, 4, 16);
    case GgufType::Q5_0: return (gguf_field(bytes + 6, i, 4, 16) | (bytes[2 + i / 8] >> i % 8 & 1) << 4) - 16;
    case GgufType::Q5_1: return gguf_field(bytes + 8, i, 4, 16) | (bytes[4 + i / 8] >> i % 8 & 1) << 4;
    case GgufType::Q2_K: return gguf_field(bytes + 16, i, 2, 32);
    case GgufType::Q3_K: return gguf_field(bytes + 32, i, 2, 32) - (gguf_field(bytes, i, 1, 32) != 0 ? 0 : 4);
    case GgufType::Q4_K: return gguf_field(bytes + 16, i, 4, 32);
    case GgufType::Q5_K: return gguf_field(bytes + 48, i, 4, 32) | gguf_field(bytes + 16, i, 1, 32) << 4;
    default: return (gguf_field(bytes, i, 4, 64) | gguf_field(bytes + 128, i, 2, 32) << 4) - 32;
  }
}

/// What a reader computes from the numbers of a weight.
BITWRIGHT_PORTABLE inline float gguf_value(const GgufLayout& layout, float d, float dmin, int scale, int min, int q) {
  const float product = d * static_cast<float>(scale) * static_cast<float>(q), offset = dmin * static_cast<float>(min);
  return layout.has_min() ? product - offset : product;
}

}  // namespace bitwright
