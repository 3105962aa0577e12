// Tiles of 16 rows from a matrix, and codes back into one: see row-turn.h.
#include "quantizers/row-turn.h"

#include <cstdint>
#include <cstring>

#include "quantizers/row-tile.h"

namespace bitwright {
namespace {

using Four = float __attribute__((vector_size(4 * sizeof(float)), aligned(alignof(float)), may_alias));
using Bytes = int8_t __attribute__((vector_size(row_lanes), aligned(1), may_alias));

/// 4 columns of 4 rows.
inline __attribute__((always_inline)) void load_four(const float* from, int64_t ld, float* to) {
  const auto row = [&](int64_t r) __attribute__((always_inline)) { return *reinterpret_cast<const Four*>(from + r * ld); };
  const Four low01 = __builtin_shufflevector(row(0), row(1), 0, 4, 1, 5), high01 = __builtin_shufflevector(row(0), row(1), 2, 6, 3, 7);
  const Four low23 = __builtin_shufflevector(row(2), row(3), 0, 4, 1, 5), high23 = __builtin_shufflevector(row(2), row(3), 2, 6, 3, 7);
  const auto column = [&](int64_t k) -> Four& { return *reinterpret_cast<Four*>(to + k * row_lanes); };
  column(0) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  column(1) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  column(2) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  column(3) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

/// 16 × 16 bytes turned about: four times each half's rows between the other's.
inline __attribute__((always_inline)) void turn_bytes(const Bytes* from, Bytes* to) {
  Bytes now[row_lanes], next[row_lanes];
  for (int64_t i = 0; i < row_lanes; ++i) now[i] = from[i];
  for (int round = 0; round < 4; ++round) {
    for (int64_t i = 0; i < row_lanes / 2; ++i) {
      next[2 * i] = __builtin_shufflevector(now[i], now[i + row_lanes / 2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(now[i], now[i + row_lanes / 2], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int64_t i = 0; i < row_lanes; ++i) now[i] = next[i];
  }
  for (int64_t i = 0; i < row_lanes; ++i) to[i] = now[i];
}

}  // namespace

void load_rows(const float* from, int64_t ld, int64_t n_rows, int64_t count, float* to) {
  int64_t k = 0;
  for (; n_rows == row_lanes && k + 4 <= count; k += 4)
    for (int64_t r = 0; r < row_lanes; r += 4) load_four(from + r * ld + k, ld, to + k * row_lanes + r);
  for (; k < count; ++k)
    for (int64_t r = 0; r < row_lanes; ++r) to[k * row_lanes + r] = r < n_rows ? from[r * ld + k] : 0.0f;
}

void store_rows(const int8_t* codes, int64_t n_rows, int64_t count, int8_t* to, int64_t ld) {
  int64_t k = 0;
  for (; k + row_lanes <= count; k += row_lanes) {
    Bytes rows[row_lanes];
    turn_bytes(reinterpret_cast<const Bytes*>(codes + k * row_lanes), rows);
    for (int64_t r = 0; r < n_rows; ++r) std::memcpy(to + r * ld + k, &rows[r], row_lanes);
  }
  for (; k < count; ++k)
    for (int64_t r = 0; r < n_rows; ++r) to[r * ld + k] = codes[k * row_lanes + r];
}

}  // namespace bitwright
