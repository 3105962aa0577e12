// Between a row-major matrix and tiles of 16 rows ([columns × 16], row-tile.h): four or sixteen columns at a time, by instructions that every processor of x86-64 has.
#pragma once
#include <cstdint>

namespace bitwright {

/// to[k][r] = from[r · ld + k] for k < count: 16 rows of a matrix as a tile; those from n_rows on are 0.
void load_rows(const float* from, int64_t ld, int64_t n_rows, int64_t count, float* to);
/// to[r · ld + k] = codes[k][r] for k < count and r < n_rows.
void store_rows(const int8_t* codes, int64_t n_rows, int64_t count, int8_t* to, int64_t ld);

}  // namespace bitwright
