// Updates of 16 rows by columns of a symmetric matrix: see row-tile.h.
#include "quantizers/row-tile.h"

#include <cstdint>
#include <cstring>

#include "core/vector-math.h"

namespace bitwright {

BITWRIGHT_VECTOR void add_columns(float* g, int64_t begin, int64_t end, const float* S, int64_t ld, const int64_t* columns, int64_t count, const float* deltas) {
  if (count == 0) return;
  for (int64_t k = begin; k < end; ++k) {
    float sums[row_lanes];
    for (int64_t r = 0; r < row_lanes; ++r) sums[r] = g[k * row_lanes + r];
    for (int64_t c = 0; c < count; ++c) {
      const float s = S[columns[c] * ld + k];
      for (int64_t r = 0; r < row_lanes; ++r) sums[r] += s * deltas[c * row_lanes + r];
    }
    for (int64_t r = 0; r < row_lanes; ++r) g[k * row_lanes + r] = sums[r];
  }
}

BITWRIGHT_VECTOR void inner_products(const float* x, const float* y, int64_t m, double* sums) {
  for (int64_t r = 0; r < row_lanes; ++r) sums[r] = 0;
  for (int64_t k = 0; k < m; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) sums[r] += static_cast<double>(x[k * row_lanes + r]) * static_cast<double>(y[k * row_lanes + r]);
}

}  // namespace bitwright
