// The float grids: E4M3 (FP8) and E2M1 (FP4), and E8M0, the powers of two that MX formats keep as scales.
//
//   E4M3   sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinities, NaN 0x7F and 0xFF    ±{0, 2^-9 … 7 · 2^-9, (1 + m/8) · 2^e}, max 448   8 bits
//   E2M1   sign, 2 bits of exponent with bias 1, 1 of mantissa                                      ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}                    4 bits
//   E8M0   8 bits of exponent with bias 127: byte e is 2^(e - 127)                                   8 bits per scale
//
// Rounding is to the nearest value, ties to the even code; a negative value that becomes 0 keeps its sign, as in compressed-tensors.
// Sources: Micikevicius et al., arXiv 2209.05433 (FP8); OCP Microscaling Formats specification 1.0 (E2M1, E8M0).
#pragma once
#include <cmath>
#include <cstdint>

#include "core/dtype.h"

namespace bitwright {

inline constexpr float e4m3_max = 448.0f, e2m1_max = 6.0f;

/// Nearest E4M3 value of |value| ≤ 464. Below 2^-6 the step is 2^-9 throughout; adding 2^14 · 1.5 leaves that many bits behind the point.
BITWRIGHT_PORTABLE inline float round_to_e4m3(float value) {
  const uint32_t bits = bits_of(value);
  const float normal = float_of((bits + 0x7ffffu + ((bits >> 20) & 1u)) & 0xfff00000u);
  const float magnitude = std::fabs(value);
  const float subnormal = (magnitude + 24576.0f) - 24576.0f;
  return magnitude < 0.015625f ? float_of(bits_of(subnormal) | (bits & 0x80000000u)) : normal;
}

/// Nearest E2M1 value of |value| ≤ 7.
BITWRIGHT_PORTABLE inline float round_to_e2m1(float value) {
  const uint32_t bits = bits_of(value);
  const float magnitude = std::fabs(value);
  const float normal = float_of(((bits & 0x7fffffffu) + 0x1fffffu + ((bits >> 22) & 1u)) & 0xffc00000u);
  const float subnormal = (magnitude + 6291456.0f) - 6291456.0f;  // steps of 0.5
  return float_of(bits_of(magnitude < 1.0f ? subnormal : normal) | (bits & 0x80000000u));
}

/// Code of a value that lies on the grid.
BITWRIGHT_PORTABLE inline uint8_t e4m3_code(float value) {
  const uint32_t bits = bits_of(value), sign = (bits >> 24) & 0x80u;
  const float magnitude = std::fabs(value);
  if (magnitude < 0.015625f) return static_cast<uint8_t>(sign | static_cast<uint32_t>(magnitude * 512.0f));
  return static_cast<uint8_t>(sign | (((bits & 0x7fffffffu) >> 20) - (120u << 3)));
}
BITWRIGHT_PORTABLE inline float e4m3_value(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24, magnitude = code & 0x7fu;
  if (magnitude == 0x7fu) return float_of(sign | 0x7fc00000u);
  if (magnitude < 8) return float_of(sign | bits_of(static_cast<float>(magnitude) * 0.001953125f));
  return float_of(sign | ((magnitude + (120u << 3)) << 20));
}

BITWRIGHT_PORTABLE inline uint8_t e2m1_code(float value) {
  const uint32_t bits = bits_of(value), sign = (bits >> 28) & 8u;
  const float magnitude = std::fabs(value);
  if (magnitude < 1.0f) return static_cast<uint8_t>(sign | static_cast<uint32_t>(magnitude * 2.0f));
  return static_cast<uint8_t>(sign | (((bits & 0x7fffffffu) >> 22) - (126u << 1)));
}
BITWRIGHT_PORTABLE inline float e2m1_value(uint8_t code) {
  constexpr float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  return code & 8u ? -values[code & 7u] : values[code & 7u];
}

/// 2^(byte - 127). 2^-127 is a subnormal float.
BITWRIGHT_PORTABLE inline float e8m0_value(uint8_t byte) { return byte == 0 ? float_of(0x00400000u) : byte == 255 ? float_of(0x7f800000u) : float_of(static_cast<uint32_t>(byte) << 23); }

/// E8M0 byte of a scale that is a power of two in the range of the format.
BITWRIGHT_PORTABLE inline uint8_t e8m0_code(float scale) { return static_cast<uint8_t>(bits_of(scale) >> 23); }

}  // namespace bitwright
