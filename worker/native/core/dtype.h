// Element types of tensors, their sizes and names, and the conversions between float formats (round to nearest even).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/portable.h"

namespace bitwright {

enum class DType : int { F64, F32, F16, BF16, I64, I32, I8, U8, F8_E4M3, I16 };

inline constexpr int n_dtypes = 10;
inline constexpr const char* dtype_names[n_dtypes] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "F8_E4M3", "I16"};
inline constexpr int64_t dtype_sizes[n_dtypes] = {8, 4, 2, 2, 8, 4, 1, 1, 1, 2};

inline const char* name_of(DType dtype) { return dtype_names[static_cast<int>(dtype)]; }
inline int64_t size_of(DType dtype) { return dtype_sizes[static_cast<int>(dtype)]; }
/// The types that a forward pass computes with; F8_E4M3 is for storage.
inline bool is_float(DType dtype) { return static_cast<int>(dtype) <= static_cast<int>(DType::BF16); }
/// The types a weight may have: arithmetic on them is done in float and rounded to the type after each step.
inline bool is_weight(DType dtype) { return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16; }

/// Answers false when the name is none of dtype_names.
inline bool dtype_from_name(const std::string& name, DType& dtype) {
  for (int i = 0; i < n_dtypes; ++i)
    if (name == dtype_names[i]) {
      dtype = static_cast<DType>(i);
      return true;
    }
  return false;
}

BITWRIGHT_PORTABLE inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
BITWRIGHT_PORTABLE inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

BITWRIGHT_PORTABLE inline float bf16_to_float(uint16_t half) { return float_of(static_cast<uint32_t>(half) << 16); }
BITWRIGHT_PORTABLE inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

BITWRIGHT_PORTABLE inline float f16_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1fu) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  // Subnormal: mantissa · 2^-24 is exact in float.
  const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
  return float_of(sign | bits_of(magnitude));
}
BITWRIGHT_PORTABLE inline uint16_t float_to_f16(float value) {
  const uint32_t bits = bits_of(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: adding 0.5 aligns the subnormal mantissa, rounding to even
    const float aligned = float_of(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(aligned) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

/// Element types for templates: how a value is stored, in which bits, and how a float is rounded to it.
struct F32Type {
  using Stored = float;
  static constexpr float epsilon = 1.1920928955078125e-7f;  // 2^-23
  static constexpr float tiny = 1.17549435e-38f;           // smallest normal, 2^-126
  static constexpr int mantissa = 23;
  BITWRIGHT_PORTABLE static uint32_t bits(float value) { return bits_of(value); }
  BITWRIGHT_PORTABLE static float from_bits(uint32_t bits) { return float_of(bits); }
  BITWRIGHT_PORTABLE static float load(float stored) { return stored; }
  BITWRIGHT_PORTABLE static float store(float value) { return value; }
};
struct BF16Type {
  using Stored = uint16_t;
  static constexpr float epsilon = 0.0078125f;  // 2^-7
  static constexpr float tiny = 1.17549435e-38f;
  static constexpr int mantissa = 7;
  BITWRIGHT_PORTABLE static uint32_t bits(float value) { return float_to_bf16(value); }
  BITWRIGHT_PORTABLE static float from_bits(uint32_t bits) { return bf16_to_float(static_cast<uint16_t>(bits)); }
  BITWRIGHT_PORTABLE static float load(uint16_t stored) { return bf16_to_float(stored); }
  BITWRIGHT_PORTABLE static uint16_t store(float value) { return float_to_bf16(value); }
};
struct F16Type {
  using Stored = uint16_t;
  static constexpr float epsilon = 0.0009765625f;  // 2^-10
  static constexpr float tiny = 6.103515625e-5f;   // 2^-14
  static constexpr int mantissa = 10;
  BITWRIGHT_PORTABLE static uint32_t bits(float value) { return float_to_f16(value); }
  BITWRIGHT_PORTABLE static float from_bits(uint32_t bits) { return f16_to_float(static_cast<uint16_t>(bits)); }
  BITWRIGHT_PORTABLE static float load(uint16_t stored) { return f16_to_float(stored); }
  BITWRIGHT_PORTABLE static uint16_t store(float value) { return float_to_f16(value); }
};
/// rd(x) of the format notes: x rounded to the type.
template <class T>
BITWRIGHT_PORTABLE inline float rounded_to(float value) {
  return T::load(T::store(value));
}

/// Calls fn(T{}) with the element type of a weight dtype.
template <class Fn>
auto with_weight_type(DType dtype, Fn&& fn) {
  if (dtype == DType::BF16) return fn(BF16Type{});
  if (dtype == DType::F16) return fn(F16Type{});
  return fn(F32Type{});
}

}  // namespace bitwright
