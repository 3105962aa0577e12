// A float as a sum of BF16 values, so that products on BF16 units give what products of floats give.
//
//   exact     x = high + middle + low without error (three times 8 significant bits), unless a part is below the smallest number, 2^-133
//   rounded   x = high + middle up to 2^-17 · |x|; middle has either sign and is at most 2^-8 · |x|, so that products of two middles matter little
//
// A value that is not finite is its own high part, the others are 0.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace bitwright {

/// Rows of an input whose parts are made at a time: a batch of the usual size at once, a longer document in pieces.
inline constexpr int64_t split_rows = 4096;

struct ExactParts {
  uint16_t high, middle, low;
};
struct RoundedParts {
  uint16_t high, middle;
};

BITWRIGHT_PORTABLE inline bool is_finite_bits(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

BITWRIGHT_PORTABLE inline ExactParts split_exact(float x) {
  const uint32_t bits = bits_of(x);
  if (!is_finite_bits(bits)) return {float_to_bf16(x), 0, 0};
  // Cut off, not rounded: the rest has the same sign and at most 16 significant bits.
  const float high = float_of(bits & 0xffff0000u), rest = x - high;
  const float middle = float_of(bits_of(rest) & 0xffff0000u);
  return {static_cast<uint16_t>(bits >> 16), static_cast<uint16_t>(bits_of(rest) >> 16), float_to_bf16(rest - middle)};
}

BITWRIGHT_PORTABLE inline RoundedParts split_rounded(float x) {
  const uint16_t high = float_to_bf16(x);
  const float value = bf16_to_float(high);
  if (!is_finite_bits(bits_of(value))) return {high, 0};
  return {high, float_to_bf16(x - value)};
}

}  // namespace bitwright
