// The bins of a running histogram: 2 B of one width, a power of two, B on each side of zero; bin i holds [(i - B) · width, (i - B + 1) · width). A batch with a value
// that does not fit doubles the width until it does, and bins are merged two by two, so that the counts are always those of all values in the bins of the last width:
// the order of batches does not matter. Both backends compile this.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/portable.h"

namespace bitwright {

/// Width of bins for a batch whose largest finite magnitude is `largest`: of the first batch (width 0), or doubled from the width before.
BITWRIGHT_PORTABLE inline double width_for(double width, double largest, int64_t n_half) {
  // A width that is none, or an infinity among the facts, comes from elsewhere: nothing is doubled without end.
  if (largest == 0 || !std::isfinite(largest) || !std::isfinite(width) || width < 0) return width;
  double needed = width == 0 ? std::ldexp(1.0, std::ilogb(largest) + 1) / static_cast<double>(n_half) : width;
  while (largest >= needed * static_cast<double>(n_half)) needed *= 2;
  return needed;
}

/// Merging by 2^shift: where bin i of the old width is counted in the new one. Shifting a negative number rounds down.
BITWRIGHT_PORTABLE inline int64_t merged_bin(int64_t i, int shift, int64_t n_half) { return shift < 0 ? i : shift > 62 ? (i < n_half ? n_half - 1 : n_half) : ((i - n_half) >> shift) + n_half; }

/// A width of 0 has seen nothing but zeros.
BITWRIGHT_PORTABLE inline int64_t bin_of(double x, double width, int64_t n_half) {
  if (!(width > 0)) return n_half;
  const double i = std::floor(x / width) + static_cast<double>(n_half);
  return !(i >= 0) ? 0 : i >= static_cast<double>(2 * n_half) ? 2 * n_half - 1 : static_cast<int64_t>(i);
}

}  // namespace bitwright
