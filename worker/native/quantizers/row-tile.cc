// Updates of 16 rows by columns of a symmetric matrix: see row-tile.h.
#include "quantizers/row-tile.h"

#include <cstdint>

#include "core/vector-math.h"

namespace bitwright {
namespace {

inline constexpr int64_t width = 4;

/// `width` places of g at once: as many sums as hide the latency of an addition.
inline __attribute__((always_inline)) void add_to_some(Rows* g, int64_t k, const float* S, int64_t ld, const int64_t* columns, int64_t count, const Rows* deltas) {
  Rows sum0 = g[k], sum1 = g[k + 1], sum2 = g[k + 2], sum3 = g[k + 3];
  for (int64_t c = 0; c < count; ++c) {
    const float* s = S + columns[c] * ld + k;
    const Rows delta = deltas[c];
    sum0 += s[0] * delta;
    sum1 += s[1] * delta;
    sum2 += s[2] * delta;
    sum3 += s[3] * delta;
  }
  g[k] = sum0;
  g[k + 1] = sum1;
  g[k + 2] = sum2;
  g[k + 3] = sum3;
}

}  // namespace

BITWRIGHT_VECTOR void add_columns(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, const int64_t* columns, int64_t count, const float* deltas) {
  if (count == 0) return;
  Rows* const sums = reinterpret_cast<Rows*>(g);
  const Rows* const all = reinterpret_cast<const Rows*>(deltas);
  int64_t k = begin;
  for (; k + width <= end; k += width) add_to_some(sums, k, S, ld, columns, count, all);
  for (; k < end; ++k) {
    Rows sum = sums[k];
    for (int64_t c = 0; c < count; ++c) sum += S[columns[c] * ld + k] * all[c];
    sums[k] = sum;
  }
}

BITWRIGHT_VECTOR void inner_products(const float* x, const float* y, int64_t m, double* sums) {
  for (int64_t r = 0; r < row_lanes; ++r) sums[r] = 0;
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) sums[r] += static_cast<double>(x[k * row_lanes + r]) * static_cast<double>(y[k * row_lanes + r]);
}

}  // namespace bitwright
