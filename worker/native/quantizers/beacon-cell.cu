// Start and sweeps of a Beacon cell on a CUDA device: see beacon.cuh, formulas in beacon-step.h. A block of 128 columns is walked with e in shared memory; what it changes reaches e of the
// whole cell, and in the start b, by products in F32. A row's decisions are in order; the sums behind a sweep are double and in the order of the columns.
#include "cuda/columns.cuh"
#include "quantizers/beacon-step.h"
#include "quantizers/beacon.cuh"

namespace bitwright::cuda {
namespace {

struct BeaconRow {
  float B, D, unit, low, high;
  int32_t changed;
};

/// Few rows need it: kept out of the loop over columns, and of its registers.
__device__ __attribute__((noinline)) BeaconStep wide_step(const BeaconCoordinate& at, float B, float D, float unit) { return any_step(at, B, D, unit); }

__device__ inline BeaconStep step_of(const BeaconCoordinate& at, float B, float D, float unit) { return is_wide(B, D) ? wide_step(at, B, D, unit) : narrow_step(at, B, D, unit); }

struct BeaconWalk : BeaconCell {
  static constexpr int n_panels = 1, n_staged = 2;
  using Row = BeaconRow;

  explicit BeaconWalk(const BeaconCell& cell) : BeaconCell(cell) {}
  __device__ bool skips(int64_t column) const { return is_pinned(column); }
  __device__ Row row(int64_t row) const { return {B[row], D[row], unit[row], qmin - zero_point[row], qmax - zero_point[row], 0}; }
  __device__ void leave(int64_t row, const Row& kept) const {
    B[row] = kept.B;
    D[row] = kept.D;
    if (kept.changed != 0) raise_flag(changed);
  }
  __device__ void take(Row& kept, const BeaconStep& step) const {
    kept.B = step.B;
    kept.D = step.D;
    if (step.code != 0) kept.changed = 1;
  }
};

/// The target grows by w_t X_t, then the codes by a_t X_t.
struct StartWalk : BeaconWalk {
  using BeaconWalk::BeaconWalk;
  __device__ float stage(int i, const Place& at) const { return i == 0 ? w[at.column * padded + at.row] : prefix[at.k * padded + at.row]; }
  __device__ Step<1> step(Row& kept, const Place& at, bool skipped, float e_before, const float* staged, const float* diagonals) const {
    const float weight = staged[0], b_before = staged[1], S_tt = diagonals[0];
    float code = 0;
    if (!skipped) {
      kept.D -= weight * (b_before - e_before);
      const float rounded = round_half_even(weight / kept.unit), bounded = rounded > kept.low ? rounded : kept.low;
      const BeaconStep step = step_of({0.0f, b_before + weight * S_tt, e_before + weight * S_tt, kept.low, kept.high, bounded < kept.high ? bounded : kept.high, S_tt}, kept.B, kept.D, kept.unit);
      take(kept, step);
      code = step.code;
    }
    const float rest = skipped ? 0.0f : weight - code * kept.unit;
    a[at.column * padded + at.row] = code;
    changes[at.k * padded + at.row] = rest;
    return {{rest}};
  }
};

struct SweepWalk : BeaconWalk {
  using BeaconWalk::BeaconWalk;
  __device__ float stage(int i, const Place& at) const { return (i == 0 ? a : b)[at.column * padded + at.row]; }
  __device__ Step<1> step(Row& kept, const Place& at, bool skipped, float e, const float* staged, const float* diagonals) const {
    const float now = staged[0];
    float change = 0;
    if (!skipped) {
      const BeaconStep step = step_of({now, staged[1], e, kept.low, kept.high, now, diagonals[0]}, kept.B, kept.D, kept.unit);
      take(kept, step);
      change = -step.code * kept.unit;
      if (step.code != 0) a[at.column * padded + at.row] = now + step.code;
    }
    changes[at.k * padded + at.row] = change;
    return {{change}};
  }
};

template <class Method>
void walk_block_of(Context& context, const BeaconCell& cell, const Method& method, int64_t begin, int64_t count) {
  context.step();
  const float* rows = cell.S + begin * cell.ld;
  walk_columns_of(context, {cell.e, nullptr, {rows + begin, nullptr}, cell.ld, cell.padded, cell.m, begin, static_cast<int>(count)}, method);
  context.gemm(DType::F32, true, false, cell.m, cell.padded, count, 1, rows, cell.ld, cell.changes, cell.padded, 1, cell.e, cell.padded);
}

struct Sums {
  double target, length, away, left;
};
struct AddSums {
  __device__ Sums operator()(const Sums& x, const Sums& y) const { return {x.target + y.target, x.length + y.length, x.away + y.away, x.left + y.left}; }
};

/// B, D and what is explained, in double from b, e and the codes.
void measure(Context& context, const BeaconCell& cell) {
  for_columns(
      context, cell.m, cell.padded, Sums{0, 0, 0, 0},
      [=] __device__(int64_t k, int64_t row) {
        const int64_t i = k * cell.padded + row;
        const double w = cell.w[i], v = cell.a[i] * cell.unit[row], b = cell.b[i], e = cell.e[i];
        return Sums{w * b, v * (b - e), -v * e, (w - v) * e};
      },
      AddSums{},
      [=] __device__(int64_t row, Sums sums) {
        const double B = sums.length, D = sums.away, alpha = B - D;
        cell.B[row] = static_cast<float>(B);
        cell.D[row] = static_cast<float>(D);
        // A NaN goes on into what is explained.
        cell.explained[row] = B <= 0 ? 0.0 : alpha > 0 ? sums.target - (sums.left - D * D / B) : -alpha * alpha / B;
        cell.scale[row] = B > 0 ? static_cast<double>(cell.unit[row]) * (1 - D / B) : 0.0;
      });
}

struct Pair {
  double b, e;
};
struct AddPairs {
  __device__ Pair operator()(const Pair& x, const Pair& y) const { return {x.b + y.b, x.e + y.e}; }
};

/// The zero point as one more coordinate: all values of a row move by one and the same step.
void move_zero_points(Context& context, const BeaconCell& cell) {
  for_columns(
      context, cell.m, cell.padded, Pair{0, 0},
      [=] __device__(int64_t k, int64_t row) {
        const int64_t i = k * cell.padded + row;
        return cell.is_pinned(k) ? Pair{0, 0} : Pair{cell.b[i], cell.e[i]};
      },
      AddPairs{},
      [=] __device__(int64_t row, Pair sums) {
        const float zero_point = cell.zero_point[row];
        const BeaconStep step = step_of({0.0f, static_cast<float>(sums.b), static_cast<float>(sums.e), zero_point - cell.qmax, zero_point - cell.qmin, 0.0f, static_cast<float>(*cell.total)}, cell.B[row], cell.D[row], cell.unit[row]);
        cell.zero_step[row] = step.code;
        cell.zero_point[row] = zero_point - step.code;
        if (step.code != 0) raise_flag(cell.changed);
      });
  for_rows(context, cell.m, cell.padded, [=] __device__(int64_t k, int64_t row) {
    const float step = cell.zero_step[row];
    if (step == 0) return;
    const int64_t i = k * cell.padded + row;
    if (!cell.is_pinned(k)) cell.a[i] += step;
    cell.e[i] -= step * cell.unit[row] * cell.column_sums[k];
  });
}

void clear(Context& context, float* values, int64_t count) { context.clear(values, count * static_cast<int64_t>(sizeof(float))); }

}  // namespace

void sum_columns(Context& context, const BeaconCell& cell) {
  for_columns(
      context, cell.m, cell.m, 0.0, [=] __device__(int64_t j, int64_t k) { return cell.is_pinned(j) ? 0.0 : static_cast<double>(cell.S[j * cell.ld + k]); }, Sum{},
      [=] __device__(int64_t k, double sum) { cell.column_sums[k] = static_cast<float>(sum); });
  for_columns(
      context, cell.m, 1, 0.0, [=] __device__(int64_t k, int64_t) { return cell.is_pinned(k) ? 0.0 : static_cast<double>(cell.column_sums[k]); }, Sum{}, [=] __device__(int64_t, double sum) { *cell.total = sum; });
}

void start_cell(Context& context, const BeaconCell& cell) {
  const int64_t m = cell.m, padded = cell.padded, ld = cell.ld;
  clear(context, cell.b, m * padded);
  clear(context, cell.e, m * padded);
  clear(context, cell.B, padded);
  clear(context, cell.D, padded);
  const Scratch<float> masked = context.scratch<float>(walk_columns * walk_columns);
  float* before = masked.data();
  for (int64_t begin = 0; begin < m; begin += walk_columns) {
    const int64_t count = std::min<int64_t>(walk_columns, m - begin);
    const float *rows = cell.S + begin * ld, *weights = cell.w + begin * padded;
    // S w over the columns before each: those before the block, and by the part of S above the diagonal those of the block.
    for_rows(context, count, count, [=] __device__(int64_t s, int64_t k) { before[s * walk_columns + k] = s < k ? rows[s * ld + begin + k] : 0.0f; });
    context.copy(cell.prefix, cell.b + begin * padded, count * padded * static_cast<int64_t>(sizeof(float)), cudaMemcpyDeviceToDevice);
    context.gemm(DType::F32, true, false, count, padded, count, 1, before, walk_columns, weights, padded, 1, cell.prefix, padded);
    walk_block_of(context, cell, StartWalk(cell), begin, count);
    context.gemm(DType::F32, true, false, m, padded, count, 1, rows, ld, weights, padded, 1, cell.b, padded);
  }
  measure(context, cell);
}

void resume_cell(Context& context, const BeaconCell& cell) {
  const int64_t m = cell.m, padded = cell.padded;
  const Scratch<float> left = context.scratch<float>(m * padded);
  float* rest = left.data();
  for_rows(context, m, padded, [=] __device__(int64_t k, int64_t row) { rest[k * padded + row] = cell.w[k * padded + row] - cell.a[k * padded + row] * cell.unit[row]; });
  context.gemm(DType::F32, true, false, m, padded, m, 1, cell.S, cell.ld, cell.w, padded, 0, cell.b, padded);
  context.gemm(DType::F32, true, false, m, padded, m, 1, cell.S, cell.ld, rest, padded, 0, cell.e, padded);
  measure(context, cell);
}

void sweep_cell(Context& context, const BeaconCell& cell) {
  for (int64_t begin = 0; begin < cell.m; begin += walk_columns) walk_block_of(context, cell, SweepWalk(cell), begin, std::min<int64_t>(walk_columns, cell.m - begin));
  measure(context, cell);
  if (cell.column_sums == nullptr) return;
  move_zero_points(context, cell);
  measure(context, cell);
}

}  // namespace bitwright::cuda
