// What a row of Beacon is measured by, summed in double over its cell; behind the last column all values are 0. Products are float: b and e are sums of as many
// terms as the cell has columns, and their rounding is larger than that of a product. Legend in beacon.h.
#include <cstdint>

#include "core/vector-math.h"
#include "quantizers/beacon.h"
#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

/// Sixteen sums side by side, whatever the processor's vectors: so the result is the same on all.
class Sums {
 public:
  inline __attribute__((always_inline)) void add(const Rows& values) {
    // As one vector: GCC 12 converts halves of one by quarters.
    const All all = __builtin_convertvector(values, All);
    low_ += __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7);
    high_ += __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  inline __attribute__((always_inline)) double total() const {
    const Half sums = low_ + high_;
    double all = 0;
    for (int64_t i = 0; i < row_lanes / 2; ++i) all += sums[i];
    return all;
  }

 private:
  using All = double __attribute__((vector_size(row_lanes * sizeof(double))));
  using Half = double __attribute__((vector_size(row_lanes / 2 * sizeof(double))));
  Half low_{}, high_{};
};

}  // namespace

BITWRIGHT_VECTOR void beacon_measure(BeaconTile& tile, int64_t r) {
  const int64_t first = r * tile.stride;
  const float unit = tile.unit[r];
  Sums lengths, aways, lefts;
  for (int64_t k = first; k < first + tile.stride; k += row_lanes) {
    const Rows v = rows_at(tile.a + k) * unit, e = rows_at(tile.e + k);
    lengths.add(v * (rows_at(tile.b + k) - e));
    aways.add(v * e);
    lefts.add((rows_at(tile.w + k) - v) * e);
  }
  const double B = lengths.total(), D = -aways.total(), left = lefts.total();
  tile.B[r] = static_cast<float>(B);
  tile.D[r] = static_cast<float>(D);
  // A NaN goes on into what is explained.
  const double alpha = B - D;
  tile.explained[r] = B <= 0 ? 0.0 : alpha > 0 ? tile.target[r] - (left - D * D / B) : -alpha * alpha / B;
  tile.scale[r] = B > 0 ? static_cast<double>(unit) * (1 - D / B) : 0.0;
}

BITWRIGHT_VECTOR void beacon_target(BeaconTile& tile, int64_t r) {
  const float *const w = tile.w + r * tile.stride, *const b = tile.b + r * tile.stride;
  Sums sums;
  for (int64_t k = 0; k < tile.stride; k += row_lanes) sums.add(rows_at(w + k) * rows_at(b + k));
  tile.target[r] = sums.total();
}

}  // namespace bitwright
