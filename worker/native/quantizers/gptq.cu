// GPTQ's column loop on a CUDA device: legend in gptq.h.
//
// V [I × O] in solving order lies on the device. A launch solves one block of at most 128 columns: a block of threads takes 32 rows through it, their V
// in shared memory. One warp, a row per lane, rounds 16 columns with their updates in registers; then all warps bring the 16 errors to the
// rest of the tile. The columns behind the block are updated by one matrix product in F32. Rows are independent: nothing depends on how many run at once.
// Beside inputs and results: V and the errors of a block, 4 O · (I + 128) bytes.
#include "cuda/launch.cuh"
#include "quantizers/gptq-column.h"
#include "quantizers/kernels.h"
#include "quantizers/solver.cuh"

namespace bitwright::cuda {
namespace {

constexpr int block_columns = 128, block_rows = tile_rows, sub_block = 16, n_warps = 8;
/// One more than the rows: reading along rows and along columns both stay clear of bank conflicts.
constexpr int tile_stride = block_rows + 1;

struct Solve {
  Cells cells;
  const float* R;
  const float* scale;  // F32 copy
  const int8_t* zero_point;
  const int32_t *permutation, *g_idx;
  const uint8_t* dead;
  float* V;
  float* E;
  uint8_t* codes;
  double* loss;
  int64_t padded, begin;
  int count;
  float qmin, qmax;
};

template <class T, class Codes>
__global__ void __launch_bounds__(32 * n_warps) solve_block(Solve solve, AnyFloat weight) {
  __shared__ float tile[block_columns * tile_stride];
  __shared__ float panel[sub_block][block_columns];
  __shared__ float weights[sub_block][tile_stride];
  __shared__ float errors[sub_block][block_rows], scales[sub_block][block_rows], zero_points[sub_block][block_rows];
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y), thread = warp * 32 + lane;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * block_rows, I = solve.cells.columns;
  const int count = solve.count;
  for (int k = warp; k < count; k += n_warps) tile[k * tile_stride + lane] = solve.begin > 0 ? solve.V[(solve.begin + k) * solve.padded + first_row + lane] : 0.0f;
  double loss = 0;

  for (int sub = 0; sub < count; sub += sub_block) {
    const int n_sub = count - sub < sub_block ? count - sub : sub_block;
    for (int i = thread; i < n_sub * block_columns; i += 32 * n_warps) {
      const int s = i / block_columns, k = i % block_columns;
      if (k >= sub && k < count) panel[s][k] = solve.R[(solve.begin + sub + s) * I + solve.begin + k];
    }
    // Columns of a row first: they lie side by side where their order is their own.
    for (int i = thread; i < sub_block * block_rows; i += 32 * n_warps) {
      const int s = i % sub_block, r = i / sub_block;
      const int64_t column = s < n_sub ? inside(column_at(solve.permutation, solve.begin + sub + s), I) : 0;
      const bool is_zero = s >= n_sub || first_row + r >= solve.cells.rows || (solve.dead != nullptr && solve.dead[column] != 0);
      weights[s][r] = is_zero ? 0.0f : weight.value((first_row + r) * I + column);
    }
    for (int s = warp; s < n_sub; s += n_warps) {
      const int64_t column = inside(column_at(solve.permutation, solve.begin + sub + s), I);
      const int64_t row = first_row + lane < solve.cells.rows ? first_row + lane : solve.cells.rows - 1;
      const int64_t index = solve.cells.index(row, inside(solve.cells.group_of(column, solve.g_idx), solve.cells.n_groups));
      scales[s][lane] = solve.scale[index];
      zero_points[s][lane] = static_cast<float>(solve.zero_point[index]);
    }
    __syncthreads();
    if (warp == 0) {
      float V[sub_block];
#pragma unroll
      for (int s = 0; s < sub_block; ++s) V[s] = s < n_sub ? tile[(sub + s) * tile_stride + lane] : 0.0f;
#pragma unroll
      for (int s = 0; s < sub_block; ++s) {
        if (s >= n_sub) break;
        const float w = weights[s][lane], diagonal = panel[s][sub + s];
        const RoundedWeight rounded = round_weight<T, Codes>(w + V[s] * (1.0f / diagonal), scales[s][lane], zero_points[s][lane], solve.qmin, solve.qmax);
        const float left = w - rounded.value, error = fmaf(left, diagonal, V[s]);
        // The column is done: its place takes the code.
        tile[(sub + s) * tile_stride + lane] = rounded.code;
        errors[s][lane] = left;
        loss += 0.5 * static_cast<double>(error) * static_cast<double>(error);
#pragma unroll
        for (int t = s + 1; t < sub_block; ++t)
          if (t < n_sub) V[t] = fmaf(left, panel[s][sub + t], V[t]);
      }
    }
    __syncthreads();
    float own[sub_block];
#pragma unroll
    for (int s = 0; s < sub_block; ++s) own[s] = s < n_sub ? errors[s][lane] : 0.0f;
    for (int k = sub + sub_block + warp; k < count; k += n_warps) {
      float value = tile[k * tile_stride + lane];
#pragma unroll
      for (int s = 0; s < sub_block; ++s)
        if (s < n_sub) value = fmaf(own[s], panel[s][k], value);
      tile[k * tile_stride + lane] = value;
    }
    for (int s = warp; s < n_sub; s += n_warps) solve.E[(sub + s) * solve.padded + first_row + lane] = errors[s][lane];
    __syncthreads();
  }

  for (int r = warp; r < block_rows; r += n_warps) {
    if (first_row + r >= solve.cells.rows) break;
    for (int k = lane; k < count; k += 32)
      solve.codes[(first_row + r) * I + inside(column_at(solve.permutation, solve.begin + k), I)] = Codes::code(tile[k * tile_stride + r]);
  }
  if (warp == 0 && first_row + lane < solve.cells.rows) solve.loss[first_row + lane] += loss;
}

}  // namespace

void quantize_gptq(Context& context, const Views& in, const Views& out, const Options& options) {
  Solve solve{};
  Grid grid;
  (void)Cells::from(options, in[0].shape, solve.cells);
  (void)grid_from(options, grid);
  const int64_t O = solve.cells.rows, I = solve.cells.columns;
  check_groups(context, in[5], I, solve.cells.n_groups);
  check_permutation(context, in[4], I);
  context.clear(out[1].data, out[1].bytes());
  if (O == 0 || I == 0) return;
  // How many columns are solved before the rest is updated changes the order of sums alone; a wider block is taken in parts.
  const int64_t block_size = std::min<int64_t>(options.integer("block_size"), block_columns), padded = padded_rows(O);
  const FloatCopy scale(context, in[2]);
  const Scratch<float> answers = context.scratch<float>(I * padded), errors = context.scratch<float>(block_size * padded);
  solve.R = in[1].as<float>();
  solve.scale = scale.data();
  solve.zero_point = in[3].as<int8_t>();
  solve.permutation = ints_or_null(in[4]);
  solve.g_idx = ints_or_null(in[5]);
  solve.V = answers.data();
  solve.E = errors.data();
  solve.codes = out[0].as<uint8_t>();
  solve.loss = out[1].as<double>();
  solve.padded = padded;
  solve.qmin = grid.qmin();
  solve.qmax = grid.qmax();
  solve.dead = in[6].present ? in[6].as<uint8_t>() : nullptr;
  for (int64_t begin = 0; begin < I; begin += block_size) {
    const int64_t end = std::min(I, begin + block_size);
    context.step();
    solve.begin = begin;
    solve.count = static_cast<int>(end - begin);
    with_weight_type(in[2].dtype, [&](auto type) {
      with_codes(grid, [&](auto codes) { launch(context, static_cast<unsigned>(padded / block_rows), dim3(32, n_warps), 0, solve_block<decltype(type), decltype(codes)>, solve, AnyFloat(in[0])); });
    });
    context.gemm(DType::F32, true, false, I - end, padded, end - begin, 1, solve.R + begin * I + end, I, solve.E, padded, begin > 0 ? 1 : 0, solve.V + end * padded, padded);
  }
  // A NaN in weight, scale or factor, or an error that grew over all bounds, has reached the loss of its row.
  FaultSlot* slot = context.fault([](uint32_t row, uint32_t bits) {
    return "the loss of row " + std::to_string(row) + " is " + std::to_string(float_of(bits)) + ": its weights, its scales or the factor are not finite";
  });
  const double* loss = solve.loss;
  for_each(context, O, [=] __device__(int64_t row) {
    if (!isfinite(loss[row])) report(slot, row, bits_of(static_cast<float>(loss[row])));
  });
}

}  // namespace bitwright::cuda
