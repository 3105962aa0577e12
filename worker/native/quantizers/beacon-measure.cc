// What a row of Beacon is measured by, summed in double over its cell; behind the last column all values are 0. Legend in beacon.h.
#include <cstdint>

#include "core/vector-math.h"
#include "quantizers/beacon.h"

namespace bitwright {
namespace {

/// Eight sums side by side, whatever the processor's vectors: so the result is the same on all.
constexpr int64_t n_sums = 8;
using Sums = double __attribute__((vector_size(n_sums * sizeof(double)), aligned(alignof(double))));
using Some = float __attribute__((vector_size(n_sums * sizeof(float)), aligned(alignof(float)), may_alias));
inline __attribute__((always_inline)) Some some_at(const float* values) { return *reinterpret_cast<const Some*>(values); }
inline __attribute__((always_inline)) Sums doubles(const Some& values) { return __builtin_convertvector(values, Sums); }
inline __attribute__((always_inline)) double total(const Sums& sums) {
  double all = 0;
  for (int64_t i = 0; i < n_sums; ++i) all += sums[i];
  return all;
}

}  // namespace

BITWRIGHT_VECTOR void beacon_measure(BeaconTile& tile, int64_t r) {
  const int64_t first = r * tile.stride;
  const float unit = tile.unit[r];
  Sums lengths{}, aways{}, lefts{};
  for (int64_t k = first; k < first + tile.stride; k += n_sums) {
    const Sums w = doubles(some_at(tile.w + k)), v = doubles(some_at(tile.a + k) * unit), b = doubles(some_at(tile.b + k)), e = doubles(some_at(tile.e + k));
    lengths += v * (b - e);
    aways -= v * e;
    lefts += (w - v) * e;
  }
  const double B = total(lengths), D = total(aways), left = total(lefts);
  tile.B[r] = static_cast<float>(B);
  tile.D[r] = static_cast<float>(D);
  // A NaN goes on into what is explained.
  const double alpha = B - D;
  tile.explained[r] = B <= 0 ? 0.0 : alpha > 0 ? tile.target[r] - (left - D * D / B) : -alpha * alpha / B;
  tile.scale[r] = B > 0 ? static_cast<double>(unit) * (1 - D / B) : 0.0;
}

BITWRIGHT_VECTOR void beacon_target(BeaconTile& tile, int64_t r) {
  const float *const w = tile.w + r * tile.stride, *const b = tile.b + r * tile.stride;
  Sums sums{};
  for (int64_t k = 0; k < tile.stride; k += n_sums) sums += doubles(some_at(w + k)) * doubles(some_at(b + k));
  tile.target[r] = total(sums);
}

}  // namespace bitwright
