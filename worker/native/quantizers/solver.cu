// What the solvers of a layer have in common on a CUDA device: see solver.cuh.
#include "quantizers/solver.cuh"

#include "quantizers/gptq-column.h"

namespace bitwright::cuda {
namespace {

constexpr int tile = 32, n_warps = 8;

__global__ void __launch_bounds__(tile* n_warps) transpose_tile_of_weight(AnyFloat weight, int64_t O, int64_t I, int64_t first, int64_t end, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt) {
  __shared__ float values[tile][tile + 1];
  const int64_t first_column = first + static_cast<int64_t>(blockIdx.x) * tile, first_row = static_cast<int64_t>(blockIdx.y) * tile;
  const int64_t j = first_column + threadIdx.x;
  const int64_t column = j < end ? inside(column_at(permutation, j), I) : 0;
  for (int r = static_cast<int>(threadIdx.y); r < tile; r += n_warps) {
    const bool is_zero = j >= end || first_row + r >= O || (dead != nullptr && dead[column] != 0);
    values[r][threadIdx.x] = is_zero ? 0.0f : weight.value((first_row + r) * I + column);
  }
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.y); c < tile; c += n_warps)
    if (first_column + c < end) Wt[(first_column + c - first) * padded + first_row + threadIdx.x] = values[threadIdx.x][c];
}

__global__ void __launch_bounds__(tile* n_warps) transpose_tile_of_codes(const int8_t* Qt, int64_t m, int64_t padded, int8_t* codes, int64_t O, int64_t I, int64_t first) {
  __shared__ int8_t values[tile][tile + 4];
  const int64_t first_column = static_cast<int64_t>(blockIdx.x) * tile, first_row = static_cast<int64_t>(blockIdx.y) * tile;
  for (int c = static_cast<int>(threadIdx.y); c < tile; c += n_warps)
    if (first_column + c < m) values[c][threadIdx.x] = Qt[(first_column + c) * padded + first_row + threadIdx.x];
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.y); r < tile; r += n_warps)
    if (first_row + r < O && first_column + threadIdx.x < m) codes[(first_row + r) * I + first + first_column + threadIdx.x] = values[threadIdx.x][r];
}

dim3 tiles(int64_t n_columns, int64_t padded) { return dim3(static_cast<unsigned>((n_columns + tile - 1) / tile), static_cast<unsigned>(padded / tile)); }

}  // namespace

void transpose_columns(Context& context, const TensorView& weight, int64_t first, int64_t end, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt) {
  const int64_t O = weight.extent(0), I = weight.extent(1);
  launch(context, tiles(end - first, padded), dim3(tile, n_warps), 0, transpose_tile_of_weight, AnyFloat(weight), O, I, first, end, padded, permutation, dead, Wt);
}

void transpose_weight(Context& context, const TensorView& weight, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt) {
  transpose_columns(context, weight, 0, weight.extent(1), padded, permutation, dead, Wt);
}

void store_codes(Context& context, const int8_t* Qt, int64_t m, int64_t padded, int8_t* codes, int64_t n_rows, int64_t n_columns, int64_t first) {
  launch(context, tiles(m, padded), dim3(tile, n_warps), 0, transpose_tile_of_codes, Qt, m, padded, codes, n_rows, n_columns, first);
}

void check_diagonal(Context& context, const float* H, int64_t n) {
  FaultSlot* slot = context.fault([](uint32_t column, uint32_t bits) { return "diag(H) at column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
  for_each(context, n, [=] __device__(int64_t i) {
    const float diagonal = H[i * n + i];
    if (!isfinite(diagonal) || diagonal < 0) report(slot, i, bits_of(diagonal));
  });
}

}  // namespace bitwright::cuda
