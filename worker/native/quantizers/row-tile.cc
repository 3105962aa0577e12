// Updates of 16 rows by columns of a symmetric matrix: see row-tile.h.
#include "quantizers/row-tile.h"

#include <cstdint>

#include "core/vector-math.h"

namespace bitwright {
namespace {

/// `width` places of g at once: as many sums as hide the latency of an addition.
template <int64_t width>
inline __attribute__((always_inline)) void add_to_some(Rows* g, int64_t k, const float* S, int64_t ld, int64_t count, const Rows* deltas) {
  Rows sums[width];
  for (int64_t i = 0; i < width; ++i) sums[i] = g[k + i];
  for (int64_t c = 0; c < count; ++c) {
    const float* s = S + c * ld + k;
    const Rows delta = deltas[c];
    for (int64_t i = 0; i < width; ++i) sums[i] += s[i] * delta;
  }
  for (int64_t i = 0; i < width; ++i) g[k + i] = sums[i];
}

template <int64_t width>
inline __attribute__((always_inline)) void add_to_all(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, int64_t count, const float* deltas) {
  if (count == 0) return;
  Rows* const sums = reinterpret_cast<Rows*>(g);
  const Rows* const all = reinterpret_cast<const Rows*>(deltas);
  int64_t k = begin;
  for (; k + width <= end; k += width) add_to_some<width>(sums, k, S, ld, count, all);
  for (; k < end; ++k) add_to_some<1>(sums, k, S, ld, count, all);
}

BITWRIGHT_VECTOR void add_by_four(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, int64_t count, const float* deltas) { add_to_all<4>(g, begin, end, S, ld, count, deltas); }

#if defined(__x86_64__)
/// Where 16 rows are one register there are 32 of these, and twice as many sums at once.
__attribute__((target("avx512f"))) void add_by_eight(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, int64_t count, const float* deltas) { add_to_all<8>(g, begin, end, S, ld, count, deltas); }
const bool has_long_registers = __builtin_cpu_supports("avx512f");
#endif

}  // namespace

void add_columns(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, int64_t count, const float* deltas) {
#if defined(__x86_64__)
  if (has_long_registers) return add_by_eight(g, begin, end, S, ld, count, deltas);
#endif
  add_by_four(g, begin, end, S, ld, count, deltas);
}

BITWRIGHT_VECTOR void inner_products(const float* x, const float* y, int64_t m, double* sums) {
  for (int64_t r = 0; r < row_lanes; ++r) sums[r] = 0;
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) sums[r] += static_cast<double>(x[k * row_lanes + r]) * static_cast<double>(y[k * row_lanes + r]);
}

}  // namespace bitwright
