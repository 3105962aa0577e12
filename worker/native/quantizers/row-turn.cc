// Tiles of 16 rows from a matrix, and back: see row-turn.h.
#include "quantizers/row-turn.h"

#include <cstdint>

#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

using Four = float __attribute__((vector_size(4 * sizeof(float)), aligned(alignof(float)), may_alias));

/// 4 × 4 turned about.
inline __attribute__((always_inline)) void turn_four(const float* from, int64_t ld, float* to, int64_t to_ld) {
  const auto row = [&](int64_t r) __attribute__((always_inline)) { return *reinterpret_cast<const Four*>(from + r * ld); };
  const Four low01 = __builtin_shufflevector(row(0), row(1), 0, 4, 1, 5), high01 = __builtin_shufflevector(row(0), row(1), 2, 6, 3, 7);
  const Four low23 = __builtin_shufflevector(row(2), row(3), 0, 4, 1, 5), high23 = __builtin_shufflevector(row(2), row(3), 2, 6, 3, 7);
  const auto column = [&](int64_t k) -> Four& { return *reinterpret_cast<Four*>(to + k * to_ld); };
  column(0) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  column(1) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  column(2) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  column(3) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

}  // namespace

void load_rows(const float* from, int64_t ld, int64_t count, float* tile) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4)
    for (int64_t r = 0; r < row_lanes; r += 4) turn_four(from + r * ld + k, ld, tile + k * row_lanes + r, row_lanes);
  for (; k < count; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) tile[k * row_lanes + r] = from[r * ld + k];
}

void store_rows(const float* tile, int64_t count, float* to, int64_t ld) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4)
    for (int64_t r = 0; r < row_lanes; r += 4) turn_four(tile + k * row_lanes + r, row_lanes, to + r * ld + k, ld);
  for (; k < count; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) to[r * ld + k] = tile[k * row_lanes + r];
}

}  // namespace bitwright
