// Arithmetic that the compiler vectorizes and that gives the same bits at any vector width: no fused multiply-add (but for attention, see CMakeLists.txt), fixed 16-lane sums.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
/// One copy per instruction set, chosen when the library is loaded.
#define BITWRIGHT_VECTOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
/// Here all processors have the same vectors.
#define BITWRIGHT_VECTOR
#endif

namespace bitwright {

inline constexpr int n_lanes = 16;

/// Bit i: flags[i] is -1 and not 0.
inline __attribute__((always_inline)) uint32_t mask_bits(const int32_t* flags) {
  using Flags = int32_t __attribute__((vector_size(n_lanes * sizeof(int32_t)), may_alias));
  using Bytes = int8_t __attribute__((vector_size(n_lanes)));
  const Bytes bytes = __builtin_convertvector(*reinterpret_cast<const Flags*>(flags), Bytes);
#if defined(__x86_64__)
  return static_cast<uint32_t>(_mm_movemask_epi8(reinterpret_cast<__m128i>(bytes)));
#else
  constexpr Bytes places = {1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128};
  const Bytes kept = bytes & places;
  uint32_t low = 0, high = 0;
  for (int i = 0; i < 8; ++i) {
    low |= static_cast<uint8_t>(kept[i]);
    high |= static_cast<uint8_t>(kept[i + 8]);
  }
  return low | high << 8;
#endif
}

/// e^x for x ≤ 88; below -87 it is 0. Reduction x = n ln 2 + r, |r| ≤ ln 2 / 2, then a degree-6 polynomial: relative error below 2e-7.
inline float exp_lane(float x) {
  const float clamped = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  const int32_t exponent = (bits - 0x4b400000 + 127) << 23;
  float scale;
  std::memcpy(&scale, &exponent, 4);
  return x < -87.0f ? 0.0f : p * scale;
}

/// Σ lanes in a fixed order.
inline float sum_lanes(const float* lanes) {
  float sum = 0;
  for (int i = 0; i < n_lanes; ++i) sum += lanes[i];
  return sum;
}

}  // namespace bitwright
