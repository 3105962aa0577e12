// Qronos' first code on a CUDA device: legend in qronos.cc. A block of threads takes one row: the product with the first column of C - H, summed in double, then the
// error of the code spread over the row. Floor: weight and corrected weight read once, the result written once; 10 bytes a weight with BF16 weights.
#include "cuda/launch.cuh"
#include "quantizers/gptq-column.h"
#include "quantizers/grid.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

struct Start {
  AnyFloat weight, scale;
  const int8_t* zero_point;
  /// Column π_1 of C - H.
  const double* moved;
  const float *corrected, *H, *U;
  /// Order of columns, or null.
  const int32_t* permutation;
  float* out;
  Cells cells;
  float qmin, qmax;
};

__global__ void __launch_bounds__(block_threads) begin_row(Start start) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x, I = start.cells.columns, first = inside(column_at(start.permutation, 0), I);
  double product = 0;
  for (int64_t j = threadIdx.x; j < I; j += block_threads) product += static_cast<double>(start.weight.value(row * I + j)) * start.moved[j];
  product = over_block(product, shared, Sum{});
  // A first column that is dead is zero, as GPTQ leaves it, and takes nothing from the others.
  const float h = start.H[first * I + first];
  const bool dead = !(h > 0);
  const int64_t index = start.cells.index(row, start.cells.group_of(first, nullptr));
  const float target = dead ? 0.0f : static_cast<float>(static_cast<double>(start.weight.value(row * I + first)) + product / static_cast<double>(h));
  const float scale = start.scale.value(index), z = static_cast<float>(start.zero_point[index]);
  const float value = dead ? 0.0f : (code_of<F32Type, Integers>(target, scale, z, start.qmin, start.qmax) - z) * scale;
  const float* from = start.corrected + row * I;
  const float error = (from[first] - value) / start.U[0];
  float* to = start.out + row * I;
  for (int64_t k = threadIdx.x; k < I; k += block_threads) {
    const int64_t column = inside(column_at(start.permutation, k), I);
    to[column] = k == 0 ? value : fmaf(-error, start.U[k], from[column]);
  }
}

}  // namespace

void qronos_start(Context& context, const Views& in, const Views& out, const Options& options) {
  Start start{AnyFloat(in[0]), AnyFloat(in[5]), in[6].as<int8_t>(), nullptr, in[1].as<float>(), in[2].as<float>(), in[4].as<float>(), ints_or_null(in[7]), out[0].as<float>(), {}, 0, 0};
  Grid grid;
  (void)Cells::from(options, in[0].shape, start.cells);
  (void)grid_from(options, grid);
  start.qmin = grid.qmin();
  start.qmax = grid.qmax();
  const int64_t O = start.cells.rows, I = start.cells.columns;
  check_permutation(context, in[7], I);
  if (O == 0) return;
  const Scratch<double> column = context.scratch<double>(I);
  double* moved = column.data();
  const float *H = start.H, *C = in[3].as<float>();
  const int32_t* permutation = start.permutation;
  for_each(context, I, [=] __device__(int64_t j) {
    const int64_t at = j * I + inside(column_at(permutation, 0), I);
    moved[j] = static_cast<double>(C[at]) - static_cast<double>(H[at]);
  });
  start.moved = moved;
  launch(context, static_cast<unsigned>(O), block_threads, 0, begin_row, start);
}

}  // namespace bitwright::cuda
