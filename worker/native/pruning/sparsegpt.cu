// SparseGPT's column loop on a CUDA device: legend in sparsegpt.h.
//
// As GPTQ's: Wt [I × O] in solving order lies on the device, a launch solves at most 128 columns, a block of threads takes 32 rows through them with the tile in
// shared memory. The mask of a block of columns is chosen before, over all rows; groups of up to 16 are chosen by the thread that has their row, wider ones are
// blocks of their own, whose mask is chosen before.
// Beside inputs and results: Wt, errors and scores of a block with their mask, 4 O · I + 1152 O bytes.
#include "cuda/launch.cuh"
#include "pruning/kernels.h"
#include "pruning/sparsegpt.h"

namespace bitwright::cuda {
namespace {

constexpr int most_columns = 128, block_rows = 32, most_sub = 16, n_warps = 8;
constexpr int tile_stride = block_rows + 1;

struct Solve {
  Cells cells;
  Sparsity sparsity;
  const float* U;
  const float* scale;  // F32 copy; without a grid none
  const int8_t* zero_point;
  const int32_t *permutation, *g_idx;
  const uint8_t* kept;
  float* Wt;
  float* E;
  /// [columns of the selection × O], from its first column on.
  uint8_t* chosen;
  void* result;
  uint8_t* mask;
  double* loss;
  int64_t padded, selection, begin;
  /// m: of groups that are chosen on the way, else 0.
  int count, sub, m;
  float qmin, qmax;

  __device__ int64_t column_of(int64_t j) const { return permutation != nullptr ? inside(permutation[j], cells.columns) : j; }
  __device__ bool is_kept(int64_t j, int64_t row) const { return kept != nullptr && kept[row * cells.columns + column_of(j)] != 0; }
};

__global__ void __launch_bounds__(32 * n_warps) transpose(AnyFloat weight, int64_t O, int64_t I, int64_t padded, const int32_t* permutation, const uint8_t* dead, float* Wt) {
  __shared__ float tile[32][33];
  const int64_t first_column = static_cast<int64_t>(blockIdx.x) * 32, first_row = static_cast<int64_t>(blockIdx.y) * 32;
  const int64_t j = first_column + threadIdx.x;
  const int64_t column = j < I ? (permutation != nullptr ? inside(permutation[j], I) : j) : 0;
  for (int r = static_cast<int>(threadIdx.y); r < 32; r += n_warps) {
    const bool is_zero = j >= I || first_row + r >= O || (dead != nullptr && dead[column] != 0);
    tile[r][threadIdx.x] = is_zero ? 0.0f : weight.value((first_row + r) * I + column);
  }
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.y); c < 32; c += n_warps)
    if (first_column + c < I) Wt[(first_column + c) * padded + first_row + threadIdx.x] = tile[threadIdx.x][c];
}

/// Out: what a settled weight is stored as.
template <class Settling, class Out>
__global__ void __launch_bounds__(32 * n_warps) solve_columns(Solve solve) {
  __shared__ float tile[most_columns * tile_stride];
  __shared__ float panel[most_sub][most_columns];
  __shared__ float errors[most_sub][block_rows], scales[most_sub][block_rows], zero_points[most_sub][block_rows];
  __shared__ uint8_t zeros[most_columns][block_rows];
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y), thread = warp * 32 + lane;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * block_rows, O = solve.cells.rows, I = solve.cells.columns;
  const int64_t row = first_row + lane < O ? first_row + lane : O - 1;
  const int count = solve.count, m = solve.m;
  for (int k = warp; k < count; k += n_warps) {
    tile[k * tile_stride + lane] = solve.Wt[(solve.begin + k) * solve.padded + first_row + lane];
    zeros[k][lane] = solve.chosen[(solve.begin - solve.selection + k) * O + row];
  }
  double loss = 0;

  for (int sub = 0; sub < count; sub += solve.sub) {
    const int n_sub = count - sub < solve.sub ? count - sub : solve.sub;
    for (int i = thread; i < n_sub * most_columns; i += 32 * n_warps) {
      const int s = i / most_columns, k = i % most_columns;
      if (k >= sub && k < count) panel[s][k] = solve.U[(solve.begin + sub + s) * I + solve.begin + k];
    }
    for (int s = warp; s < n_sub; s += n_warps) {
      const int64_t column = solve.column_of(solve.begin + sub + s);
      const int64_t index = solve.scale == nullptr ? 0 : solve.cells.index(row, inside(solve.cells.group_of(column, solve.g_idx), solve.cells.n_groups));
      scales[s][lane] = solve.scale == nullptr ? 1.0f : solve.scale[index];
      zero_points[s][lane] = solve.scale == nullptr ? 0.0f : static_cast<float>(solve.zero_point[index]);
    }
    __syncthreads();
    if (warp == 0)
      for (int s = 0; s < n_sub; ++s) {
        if (m > 0 && (sub + s) % m == 0)
          for (int i = 0; i < m; ++i) {
            const float* own = tile + (sub + s) * tile_stride + lane;
            auto score = [&](int64_t k) {
              return solve.is_kept(solve.begin + sub + s + k, row) ? 0.0f : zero_cost(own[k * tile_stride], panel[s + static_cast<int>(k)][sub + s + static_cast<int>(k)]);
            };
            if (is_among_smallest(score, i, solve.sparsity.n, m)) zeros[sub + s + i][lane] = 1;
          }
        const SettledWeight settled = Settling::settle(tile[(sub + s) * tile_stride + lane], zeros[sub + s][lane] != 0, scales[s][lane], zero_points[s][lane], 1.0f / panel[s][sub + s], solve.qmin, solve.qmax);
        tile[(sub + s) * tile_stride + lane] = settled.value;
        errors[s][lane] = settled.error;
        loss += 0.5 * static_cast<double>(settled.error) * static_cast<double>(settled.error);
        for (int t = s + 1; t < n_sub; ++t) tile[(sub + t) * tile_stride + lane] = fmaf(-settled.error, panel[s][sub + t], tile[(sub + t) * tile_stride + lane]);
      }
    __syncthreads();
    for (int k = sub + n_sub + warp; k < count; k += n_warps) {
      float w = tile[k * tile_stride + lane];
      for (int s = 0; s < n_sub; ++s) w = fmaf(-errors[s][lane], panel[s][k], w);
      tile[k * tile_stride + lane] = w;
    }
    for (int s = warp; s < n_sub; s += n_warps) solve.E[(sub + s) * solve.padded + first_row + lane] = errors[s][lane];
    __syncthreads();
  }

  for (int r = warp; r < block_rows; r += n_warps) {
    if (first_row + r >= O) break;
    for (int k = lane; k < count; k += 32) {
      const int64_t i = (first_row + r) * I + solve.column_of(solve.begin + k);
      static_cast<typename Out::Stored*>(solve.result)[i] = Out::store(tile[k * tile_stride + r]);
      solve.mask[i] = zeros[k][r];
    }
  }
  if (warp == 0 && first_row + lane < O) solve.loss[first_row + lane] += loss;
}

template <class Codes>
struct CodeOut {
  using Stored = uint8_t;
  BITWRIGHT_PORTABLE static uint8_t store(float value) { return Codes::code(value); }
};

/// What must be zero, and where groups are not chosen on the way the share of the columns that costs least.
void choose_mask(Context& context, const Solve& solve, int64_t count, float* scores) {
  const int64_t O = solve.cells.rows, begin = solve.selection, padded = solve.padded, I = solve.cells.columns;
  const int64_t n_zero = solve.sparsity.structured() ? 0 : solve.sparsity.of(count * O);
  const bool by_group = solve.sparsity.structured() && solve.m == 0;
  const float *Wt = solve.Wt, *U = solve.U;
  uint8_t* chosen = solve.chosen;
  if (n_zero > 0 || by_group)
    for_rows(context, count, O, [=] __device__(int64_t k, int64_t r) { scores[k * O + r] = solve.is_kept(begin + k, r) ? 0.0f : zero_cost(Wt[(begin + k) * padded + r], U[(begin + k) * I + begin + k]); });
  if (by_group)
    for_rows(context, count, O, [=] __device__(int64_t k, int64_t r) { chosen[k * O + r] = is_among_smallest([=](int64_t i) { return scores[i * O + r]; }, k, solve.sparsity.n, count); });
  else if (n_zero > 0) select_smallest(context, count * O, scores, n_zero, chosen);
  else context.clear(chosen, count * O);
  if (solve.kept != nullptr)
    for_rows(context, count, O, [=] __device__(int64_t k, int64_t r) {
      if (solve.is_kept(begin + k, r)) chosen[k * O + r] = 1;
    });
}

}  // namespace

void prune_sparsegpt(Context& context, const Views& in, const Views& out, const Options& options) {
  Solve solve{};
  Grid grid;
  const bool has_grid = in[2].present;
  (void)Sparsity::from(options, in[0].extent(1), solve.sparsity);
  solve.cells.rows = in[0].extent(0);
  solve.cells.columns = solve.cells.group_size = in[0].extent(1);
  if (has_grid) {
    (void)Cells::from(options, in[0].shape, solve.cells);
    (void)grid_from(options, grid);
    check_groups(context, in[5], in[0].extent(1), solve.cells.n_groups);
    solve.qmin = grid.qmin();
    solve.qmax = grid.qmax();
  }
  const int64_t O = solve.cells.rows, I = solve.cells.columns, m = solve.sparsity.m;
  check_permutation(context, in[4], I);
  context.clear(out[2].data, out[2].bytes());
  if (O == 0 || I == 0) return;
  solve.m = m <= most_sub ? static_cast<int>(m) : 0;
  const int64_t block = m > most_sub ? m : std::min(selection_block(solve.sparsity, options.integer("block_size")), I);
  solve.sub = solve.m > 0 ? most_sub / solve.m * solve.m : most_sub;
  const int64_t at_once = most_columns / solve.sub * solve.sub;
  solve.padded = (O + block_rows - 1) / block_rows * block_rows;
  std::vector<FloatCopy> scale;
  if (has_grid) scale.emplace_back(context, in[2]);
  const Scratch<float> weights = context.scratch<float>(I * solve.padded), errors = context.scratch<float>(at_once * solve.padded), scores = context.scratch<float>(block * O);
  const Scratch<uint8_t> chosen = context.scratch<uint8_t>(block * O);
  solve.U = in[1].as<float>();
  solve.scale = has_grid ? scale[0].data() : nullptr;
  solve.zero_point = has_grid ? in[3].as<int8_t>() : nullptr;
  solve.permutation = ints_or_null(in[4]);
  solve.g_idx = has_grid ? ints_or_null(in[5]) : nullptr;
  solve.kept = in[7].present ? in[7].as<uint8_t>() : nullptr;
  solve.Wt = weights.data();
  solve.E = errors.data();
  solve.chosen = chosen.data();
  solve.result = out[0].data;
  solve.mask = out[1].as<uint8_t>();
  solve.loss = out[2].as<double>();
  const uint8_t* dead = in[6].present ? in[6].as<uint8_t>() : nullptr;
  const dim3 threads(32, n_warps);
  const unsigned n_tiles = static_cast<unsigned>(solve.padded / block_rows);
  launch(context, dim3(static_cast<unsigned>((I + 31) / 32), n_tiles), threads, 0, transpose, AnyFloat(in[0]), O, I, solve.padded, solve.permutation, dead, solve.Wt);
  FaultSlot* flat = context.fault([](uint32_t column, uint32_t bits) { return "the factor has " + std::to_string(float_of(bits)) + " on its diagonal at column " + std::to_string(column); });
  const float* U = solve.U;
  for_each(context, I, [=] __device__(int64_t j) {
    if (!(U[j * I + j] > 0) || !isfinite(U[j * I + j])) report(flat, j, bits_of(U[j * I + j]));
  });
  for (int64_t first = 0; first < I; first += block) {
    const int64_t last = std::min(I, first + block);
    solve.selection = first;
    choose_mask(context, solve, last - first, scores.data());
    for (int64_t begin = first; begin < last; begin += at_once) {
      context.step();
      const int64_t end = std::min(last, begin + at_once);
      solve.begin = begin;
      solve.count = static_cast<int>(end - begin);
      if (has_grid)
        with_settling(grid, in[2].dtype, [&](auto settling, auto codes) { launch(context, n_tiles, threads, 0, solve_columns<decltype(settling), CodeOut<decltype(codes)>>, solve); });
      else with_weight_type(in[0].dtype, [&](auto type) { launch(context, n_tiles, threads, 0, solve_columns<NoGrid, decltype(type)>, solve); });
      context.gemm(DType::F32, true, false, I - end, solve.padded, end - begin, -1, solve.U + begin * I + end, I, solve.E, solve.padded, 1, solve.Wt + end * solve.padded, solve.padded);
    }
  }
  FaultSlot* slot = context.fault([](uint32_t row, uint32_t bits) {
    return "the loss of row " + std::to_string(row) + " is " + std::to_string(float_of(bits)) + ": its weights, its scales or the factor are not finite";
  });
  const double* loss = solve.loss;
  for_each(context, O, [=] __device__(int64_t r) {
    if (!isfinite(loss[r])) report(slot, r, bits_of(static_cast<float>(loss[r])));
  });
}

}  // namespace bitwright::cuda
