// Between a row-major matrix and tiles of 16 rows ([columns × 16], row-tile.h): four columns at a time, by instructions that every processor of x86-64 has.
#pragma once
#include <cstdint>

#include "quantizers/row-tile.h"

namespace bitwright {

/// to[k · to_ld + r] = from[r · ld + k] for k < count: 16 rows of a matrix as a tile; those from n_rows on are 0.
void load_rows(const float* from, int64_t ld, int64_t n_rows, int64_t count, float* to, int64_t to_ld = row_lanes);
/// to[r · ld + k] = tile[k][r] for k < count, all 16 rows.
void store_rows(const float* tile, int64_t count, float* to, int64_t ld);

}  // namespace bitwright
