// SparseGPT's column loop, alone and jointly with rounding: see sparsegpt.h for the legend.
//
// As in GPTQ's loop a tile of 64 rows of W goes through a block of columns alone: inside a few columns the update is immediate, the rest of the block gets
// them together, and the columns behind the block are updated by one matrix product.
#include "pruning/sparsegpt.h"

#include <cmath>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/vector-math.h"
#include "pruning/pruning.h"

namespace bitwright {
namespace {

constexpr int64_t row_tile = 64;

/// w[k] -= Σ_c E[c] · U[c][k] for the 64 rows of a tile.
BITWRIGHT_VECTOR void spread_errors(float* w, int64_t count, const float* E, int64_t n_errors, const float* U, int64_t ldu) {
  for (int64_t k = 0; k < count; ++k) {
    float sums[row_tile];
    for (int64_t r = 0; r < row_tile; ++r) sums[r] = w[k * row_tile + r];
    for (int64_t c = 0; c < n_errors; ++c) {
      const float u = U[c * ldu + k];
      for (int64_t r = 0; r < row_tile; ++r) sums[r] -= E[c * row_tile + r] * u;
    }
    for (int64_t r = 0; r < row_tile; ++r) w[k * row_tile + r] = sums[r];
  }
}

struct Problem {
  Sparsity sparsity;
  Cells cells;
  Grid grid;
  bool has_grid = false;
  int64_t block = 0;
};

Status read_problem(const Options& options, const TensorSpec& weight, bool has_grid, Problem& problem) {
  const int64_t I = weight.shape[1];
  if (Status status = Sparsity::from(options, I, problem.sparsity); !status.ok()) return status;
  if (options.integer("block_size") < 1) return Status::error("block_size " + std::to_string(options.integer("block_size")) + " is below 1");
  problem.block = selection_block(problem.sparsity, options.integer("block_size"));
  problem.has_grid = has_grid;
  problem.cells.rows = weight.shape[0];
  problem.cells.columns = problem.cells.group_size = I;
  if (!has_grid) return Status::fine();
  if (Status status = Cells::from(options, weight.shape, problem.cells); !status.ok()) return status;
  return grid_from(options, problem.grid);
}

Status infer(const Specs& in, const Options& options, Specs& out) {
  if (in.size() != 8 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I], factor, scale, zero_point, permutation, g_idx, dead, kept", in);
  const int64_t I = in[0].shape[1];
  const bool has_grid = in[2].present;
  Problem problem;
  if (Status status = read_problem(options, in[0], has_grid, problem); !status.ok()) return status;
  if (has_grid)
    if (Status status = check_scaled(in, options, 2, problem.cells); !status.ok()) return status;
  const bool scaled = !has_grid || (in[3].present && in[3].dtype == DType::I8 && in[3].count() == in[2].count());
  const bool fits = in[1].dtype == DType::F32 && in[1].shape == Shape{I, I} && scaled && (!in[4].present || (in[4].dtype == DType::I32 && in[4].count() == I)) &&
                    (!in[5].present || (in[5].dtype == DType::I32 && in[5].count() == I)) && (!in[6].present || (in[6].dtype == DType::U8 && in[6].count() == I)) &&
                    (!in[7].present || (in[7].dtype == DType::U8 && in[7].shape == in[0].shape));
  if (!fits) return mismatch("weight [O, I], factor F32 [I, I], scale, zero_point I8, permutation I32 [I], g_idx I32 [I], dead U8 [I], kept U8 [O, I]", in);
  if (problem.sparsity.structured() && in[4].present) return Status::error("n of m neighbours cannot be chosen while the columns are out of their order");
  out = {{has_grid ? problem.grid.code_dtype() : in[0].dtype, in[0].shape}, {DType::U8, in[0].shape}, {DType::F64, {in[0].shape[0]}}};
  return Status::fine();
}

/// All that a tile of rows needs of its block.
struct Block {
  const Problem& problem;
  const Views& in;
  const Views& out;
  const float *U, *scales;
  const int32_t *permutation, *g_idx;
  int64_t begin, count, padded;
  float *Wt, *E;
  /// [count × O]
  uint8_t* mask;
};

template <class Settling, class Write>
void solve_tile(const Block& block, int64_t t, const Write& write) {
  const Problem& problem = block.problem;
  const Sparsity& sparsity = problem.sparsity;
  const int64_t O = problem.cells.rows, I = problem.cells.columns, first_row = t * row_tile, n_rows = std::min(row_tile, O - first_row), count = block.count;
  // Whole groups of m, about 16 columns.
  const int64_t sub_block = sparsity.structured() ? std::max<int64_t>(1, 16 / sparsity.m) * sparsity.m : 16;
  const float qmin = problem.has_grid ? problem.grid.qmin() : 0, qmax = problem.has_grid ? problem.grid.qmax() : 0;
  static thread_local std::vector<float> tile, errors;
  tile.resize(static_cast<size_t>(count * row_tile));
  errors.assign(static_cast<size_t>(count * row_tile), 0.0f);
  for (int64_t k = 0; k < count; ++k) std::copy_n(block.Wt + (block.begin + k) * block.padded + first_row, row_tile, tile.data() + k * row_tile);
  float scale[row_tile], zero_point[row_tile];
  std::fill_n(scale, row_tile, 1.0f);
  std::fill_n(zero_point, row_tile, 0.0f);
  int64_t group = -1;
  double* loss = block.out[2].as<double>() + first_row;
  for (int64_t sub = 0; sub < count; sub += sub_block) {
    const int64_t sub_end = std::min(count, sub + sub_block);
    for (int64_t k = sub; k < sub_end; ++k) {
      const int64_t column = block.permutation != nullptr ? block.permutation[block.begin + k] : block.begin + k;
      const float* u = block.U + (block.begin + k) * I + block.begin;
      if (sparsity.structured() && k % sparsity.m == 0)
        for (int64_t r = 0; r < n_rows; ++r) {
          uint8_t* own = block.mask + k * O + first_row + r;
          auto score = [&](int64_t i) {
            const bool is_kept = block.in[7].present && block.in[7].template as<uint8_t>()[(first_row + r) * I + block.begin + k + i] != 0;
            return is_kept ? 0.0f : zero_cost(tile[static_cast<size_t>((k + i) * row_tile + r)], block.U[(block.begin + k + i) * I + block.begin + k + i]);
          };
          for (int64_t i = 0; i < sparsity.m; ++i) own[i * O] |= is_among_smallest(score, i, sparsity.n, sparsity.m);
        }
      if (const int64_t here = problem.has_grid ? problem.cells.group_of(column, block.g_idx) : group; here != group) {
        group = here;
        for (int64_t r = 0; r < n_rows; ++r) {
          const int64_t index = problem.cells.index(first_row + r, group);
          scale[r] = block.scales[index];
          zero_point[r] = static_cast<float>(block.in[3].template as<int8_t>()[index]);
        }
      }
      const float inverse = 1.0f / u[k];
      for (int64_t r = 0; r < n_rows; ++r) {
        const bool is_zero = block.mask[k * O + first_row + r] != 0;
        const SettledWeight settled = Settling::settle(tile[static_cast<size_t>(k * row_tile + r)], is_zero, scale[r], zero_point[r], inverse, qmin, qmax);
        errors[static_cast<size_t>(k * row_tile + r)] = settled.error;
        loss[r] += 0.5 * static_cast<double>(settled.error) * static_cast<double>(settled.error);
        const int64_t i = (first_row + r) * I + column;
        write(i, settled.value);
        block.out[1].template as<uint8_t>()[i] = is_zero;
      }
      spread_errors(tile.data() + (k + 1) * row_tile, sub_end - k - 1, errors.data() + k * row_tile, 1, u + k + 1, I);
    }
    spread_errors(tile.data() + sub_end * row_tile, count - sub_end, errors.data() + sub * row_tile, sub_end - sub, block.U + (block.begin + sub) * I + block.begin + sub_end, I);
  }
  for (int64_t k = 0; k < count; ++k) std::copy_n(errors.data() + k * row_tile, row_tile, block.E + k * block.padded + first_row);
}

/// What must be zero, and where groups are not chosen on the way the share of the block that costs least.
void choose_mask(RunContext& context, const Block& block, std::vector<float>& scores) {
  const Problem& problem = block.problem;
  const int64_t O = problem.cells.rows, I = problem.cells.columns, count = block.count;
  const uint8_t* kept = block.in[7].present ? block.in[7].as<uint8_t>() : nullptr;
  auto is_kept = [&](int64_t k, int64_t r) { return kept != nullptr && kept[r * I + (block.permutation != nullptr ? block.permutation[block.begin + k] : block.begin + k)] != 0; };
  const int64_t n_zero = problem.sparsity.structured() ? 0 : problem.sparsity.of(count * O);
  if (n_zero > 0) {
    context.pool.parallel_for(count, [&](int64_t k) {
      const float diagonal = block.U[(block.begin + k) * I + block.begin + k];
      for (int64_t r = 0; r < O; ++r) scores[static_cast<size_t>(k * O + r)] = is_kept(k, r) ? 0.0f : zero_cost(block.Wt[(block.begin + k) * block.padded + r], diagonal);
    });
    select_smallest(context.pool, count * O, scores.data(), n_zero, block.mask);
  } else std::fill_n(block.mask, count * O, uint8_t{0});
  if (kept != nullptr)
    context.pool.parallel_for(count, [&](int64_t k) {
      for (int64_t r = 0; r < O; ++r) block.mask[k * O + r] |= is_kept(k, r);
    });
}

Status run(RunContext& context, const Views& in, const Views& out, const Options& options) {
  Problem problem;
  (void)read_problem(options, in[0], in[2].present, problem);
  const int64_t O = problem.cells.rows, I = problem.cells.columns;
  if (Status status = check_permutation(in[4], I); !status.ok()) return status;
  if (problem.has_grid)
    if (Status status = check_groups(in[5], problem.cells); !status.ok()) return status;
  const int64_t n_tiles = (O + row_tile - 1) / row_tile, padded = n_tiles * row_tile, widest = std::min(problem.block, I);
  const int32_t* permutation = ints_or_null(in[4]);
  const float* U = in[1].as<float>();
  for (int64_t j = 0; j < I; ++j)
    if (!(U[j * I + j] > 0) || !std::isfinite(U[j * I + j])) return Status::error("the factor has " + std::to_string(U[j * I + j]) + " on its diagonal at column " + std::to_string(j));
  std::vector<float> Wt(static_cast<size_t>(I * padded)), E(static_cast<size_t>(widest * padded)), scores(static_cast<size_t>(widest * O));
  std::vector<uint8_t> mask(static_cast<size_t>(widest * O));
  {
    const FloatView weight(in[0]);
    context.pool.parallel_for(n_tiles, [&](int64_t t) {
      const int64_t last = std::min(row_tile, O - t * row_tile);
      for (int64_t j = 0; j < I; ++j) {
        const int64_t column = permutation != nullptr ? permutation[j] : j;
        const bool dead = in[6].present && in[6].as<uint8_t>()[column] != 0;
        for (int64_t r = 0; r < last && !dead; ++r) Wt[static_cast<size_t>(j * padded + t * row_tile + r)] = weight.data()[(t * row_tile + r) * I + column];
      }
    });
  }
  std::vector<float> scales;
  if (problem.has_grid) {
    scales.resize(static_cast<size_t>(in[2].count()));
    floats_of(in[2], 0, in[2].count(), scales.data());
  }
  double* loss = out[2].as<double>();
  std::fill_n(loss, O, 0.0);
  for (int64_t begin = 0; begin < I; begin += problem.block) {
    if (context.cancelled()) return Status::cancelled();
    const int64_t count = std::min(problem.block, I - begin), end = begin + count;
    const Block block{problem, in, out, U, scales.data(), permutation, ints_or_null(in[5]), begin, count, padded, Wt.data(), E.data(), mask.data()};
    choose_mask(context, block, scores);
    if (problem.has_grid)
      with_settling(problem.grid, in[2].dtype, [&](auto settling, auto codes) {
        context.pool.parallel_for(n_tiles, [&](int64_t t) { solve_tile<decltype(settling)>(block, t, [&](int64_t i, float value) { out[0].as<uint8_t>()[i] = decltype(codes)::code(value); }); });
      });
    else
      with_weight_type(in[0].dtype, [&](auto type) {
        using T = decltype(type);
        context.pool.parallel_for(n_tiles, [&](int64_t t) { solve_tile<NoGrid>(block, t, [&](int64_t i, float value) { out[0].as<typename T::Stored>()[i] = T::store(value); }); });
      });
    gemm_tn(context.pool, I - end, padded, count, -1.0f, U + begin * I + end, I, E.data(), padded, 1.0f, Wt.data() + end * padded, padded);
  }
  for (int64_t r = 0; r < O; ++r)
    if (!std::isfinite(loss[r])) return Status::error("the loss of row " + std::to_string(r) + " is " + std::to_string(loss[r]) + ": its weights, its scales or the factor are not finite");
  return Status::fine();
}

}  // namespace

Operation prune_sparsegpt_operation() { return {"prune_sparsegpt", infer, run}; }

}  // namespace bitwright
