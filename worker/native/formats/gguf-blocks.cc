// Where the bits of each type lie: see gguf-blocks.h. A super-block of 256 is written in runs of 32 weights, so that a reader takes 32 bytes at a time.
#include "formats/gguf-blocks.h"

#include <cstring>

#include "core/dtype.h"

namespace bitwright {
namespace {

constexpr GgufLayout layouts[] = {{"Q8_0", 32, 32, 34, -127, 127, 1, 1, 0},   {"Q4_0", 32, 32, 18, -8, 7, 1, 1, 0},       {"Q2_K", 256, 16, 84, 0, 3, 0, 15, 15},
                                  {"Q3_K", 256, 16, 110, -4, 3, -32, 31, 0},  {"Q4_K", 256, 32, 144, 0, 15, 0, 63, 63},   {"Q5_K", 256, 32, 176, 0, 31, 0, 63, 63},
                                  {"Q6_K", 256, 16, 210, -32, 31, -128, 127, 0}};

void put_half(uint8_t* bytes, uint16_t half) { std::memcpy(bytes, &half, 2); }
uint16_t half_at(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  return half;
}

/// Bits of weight i in a field of `width` bits whose bytes each serve weights `stride` apart: runs of stride · 8 / width weights.
struct Place {
  int byte, shift;
};
Place place_of(int i, int width, int stride) {
  const int per_byte = 8 / width, run = stride * per_byte;
  return {i / run * stride + i % stride, i % run / stride * width};
}
void put(uint8_t* field, int i, int width, int stride, int value) {
  const Place at = place_of(i, width, stride);
  field[at.byte] = static_cast<uint8_t>(field[at.byte] | value << at.shift);
}
int get(const uint8_t* field, int i, int width, int stride) {
  const Place at = place_of(i, width, stride);
  return field[at.byte] >> at.shift & ((1 << width) - 1);
}

/// Eight scales and eight mins of 6 bits in 12 bytes: the first four of each whole, beside them the upper bits of the others, whose lower bits share bytes.
void put_scales_and_mins(uint8_t* bytes, const GgufBlock& block) {
  for (int j = 0; j < 4; ++j) {
    bytes[j] = static_cast<uint8_t>(block.scale[j] | block.scale[j + 4] >> 4 << 6);
    bytes[4 + j] = static_cast<uint8_t>(block.min[j] | block.min[j + 4] >> 4 << 6);
    bytes[8 + j] = static_cast<uint8_t>((block.scale[j + 4] & 15) | (block.min[j + 4] & 15) << 4);
  }
}
void get_scales_and_mins(const uint8_t* bytes, GgufBlock& block) {
  for (int j = 0; j < 4; ++j) {
    block.scale[j] = bytes[j] & 63;
    block.min[j] = bytes[4 + j] & 63;
    block.scale[j + 4] = (bytes[8 + j] & 15) | bytes[j] >> 6 << 4;
    block.min[j + 4] = bytes[8 + j] >> 4 | bytes[4 + j] >> 6 << 4;
  }
}

}  // namespace

const GgufLayout* gguf_layout(const std::string& name, GgufType& type) {
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; ++i)
    if (name == layouts[i].name) {
      type = static_cast<GgufType>(i);
      return &layouts[i];
    }
  return nullptr;
}

void pack_gguf(GgufType type, const GgufBlock& block, uint8_t* bytes) {
  std::memset(bytes, 0, static_cast<size_t>(layouts[static_cast<size_t>(type)].bytes));
  switch (type) {
    case GgufType::Q8_0:
      put_half(bytes, block.d);
      for (int i = 0; i < 32; ++i) bytes[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(block.q[i]));
      return;
    case GgufType::Q4_0:
      put_half(bytes, block.d);
      for (int i = 0; i < 32; ++i) put(bytes + 2, i, 4, 16, block.q[i] + 8);
      return;
    case GgufType::Q2_K:
      for (int j = 0; j < 16; ++j) bytes[j] = static_cast<uint8_t>(block.scale[j] | block.min[j] << 4);
      for (int i = 0; i < 256; ++i) put(bytes + 16, i, 2, 32, block.q[i]);
      put_half(bytes + 80, block.d);
      put_half(bytes + 82, block.dmin);
      return;
    case GgufType::Q3_K:
      // The upper of three bits, set where q is not negative.
      for (int i = 0; i < 256; ++i) {
        put(bytes, i, 1, 32, block.q[i] >= 0);
        put(bytes + 32, i, 2, 32, (block.q[i] + 4) & 3);
      }
      for (int j = 0; j < 16; ++j) {
        put(bytes + 96, j, 4, 8, (block.scale[j] + 32) & 15);
        put(bytes + 104, j, 2, 4, (block.scale[j] + 32) >> 4);
      }
      put_half(bytes + 108, block.d);
      return;
    case GgufType::Q4_K:
    case GgufType::Q5_K: {
      put_half(bytes, block.d);
      put_half(bytes + 2, block.dmin);
      put_scales_and_mins(bytes + 4, block);
      const bool five = type == GgufType::Q5_K;
      for (int i = 0; i < 256; ++i) {
        put(bytes + (five ? 48 : 16), i, 4, 32, block.q[i] & 15);
        if (five) put(bytes + 16, i, 1, 32, block.q[i] >> 4);
      }
      return;
    }
    case GgufType::Q6_K:
      for (int i = 0; i < 256; ++i) {
        put(bytes, i, 4, 64, (block.q[i] + 32) & 15);
        put(bytes + 128, i, 2, 32, (block.q[i] + 32) >> 4);
      }
      for (int j = 0; j < 16; ++j) bytes[192 + j] = static_cast<uint8_t>(static_cast<int8_t>(block.scale[j]));
      put_half(bytes + 208, block.d);
  }
}

void unpack_gguf(GgufType type, const uint8_t* bytes, GgufBlock& block) {
  block = {};
  block.scale[0] = 1;
  switch (type) {
    case GgufType::Q8_0:
      block.d = half_at(bytes);
      for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(bytes[2 + i]);
      return;
    case GgufType::Q4_0:
      block.d = half_at(bytes);
      for (int i = 0; i < 32; ++i) block.q[i] = get(bytes + 2, i, 4, 16) - 8;
      return;
    case GgufType::Q2_K:
      for (int j = 0; j < 16; ++j) {
        block.scale[j] = bytes[j] & 15;
        block.min[j] = bytes[j] >> 4;
      }
      for (int i = 0; i < 256; ++i) block.q[i] = get(bytes + 16, i, 2, 32);
      block.d = half_at(bytes + 80);
      block.dmin = half_at(bytes + 82);
      return;
    case GgufType::Q3_K:
      for (int i = 0; i < 256; ++i) block.q[i] = get(bytes + 32, i, 2, 32) - (get(bytes, i, 1, 32) != 0 ? 0 : 4);
      for (int j = 0; j < 16; ++j) block.scale[j] = (get(bytes + 96, j, 4, 8) | get(bytes + 104, j, 2, 4) << 4) - 32;
      block.d = half_at(bytes + 108);
      return;
    case GgufType::Q4_K:
    case GgufType::Q5_K: {
      block.d = half_at(bytes);
      block.dmin = half_at(bytes + 2);
      get_scales_and_mins(bytes + 4, block);
      const bool five = type == GgufType::Q5_K;
      for (int i = 0; i < 256; ++i) block.q[i] = get(bytes + (five ? 48 : 16), i, 4, 32) | (five ? get(bytes + 16, i, 1, 32) << 4 : 0);
      return;
    }
    case GgufType::Q6_K:
      for (int i = 0; i < 256; ++i) block.q[i] = (get(bytes, i, 4, 64) | get(bytes + 128, i, 2, 32) << 4) - 32;
      for (int j = 0; j < 16; ++j) block.scale[j] = static_cast<int8_t>(bytes[192 + j]);
      block.d = half_at(bytes + 208);
  }
}

void gguf_values(const GgufLayout& layout, const GgufBlock& block, float* values) {
  const float d = f16_to_float(block.d), dmin = f16_to_float(block.dmin);
  for (int i = 0; i < layout.n_weights; ++i) {
    const int s = i / layout.sub_size;
    const float product = d * static_cast<float>(block.scale[s]) * static_cast<float>(block.q[i]), offset = dmin * static_cast<float>(block.min[s]);
    values[i] = layout.has_min() ? product - offset : product;
  }
}

}  // namespace bitwright
