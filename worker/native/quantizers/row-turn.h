// Between a row-major matrix and tiles of 16 rows ([columns × 16], row-tile.h): four columns at a time, by instructions that every processor of x86-64 has.
#pragma once
#include <cstdint>

#include "quantizers/row-tile.h"

namespace bitwright {

/// tile[k][r] = from[r · ld + k] for k < count, 16 rows.
void load_rows(const float* from, int64_t ld, int64_t count, float* tile);
/// to[r · ld + k] = tile[k][r] for k < count, 16 rows.
void store_rows(const float* tile, int64_t count, float* to, int64_t ld);

}  // namespace bitwright
