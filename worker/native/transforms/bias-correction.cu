// The sums of corrections on a CUDA device: see bias-correction.cc, variance-correction.cc and outlier-split.cc. A row is a block; the order of its sums is that of the block.
#include "cuda/launch.cuh"
#include "transforms/kernels.h"

namespace bitwright::cuda {
namespace {

/// sums[row] = Σ over the columns of term(row · columns + column, column).
template <class Term>
__global__ void __launch_bounds__(block_threads) sum_rows(int64_t columns, double* sums, int64_t step, Term term) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x;
  double sum = 0;
  for (int64_t column = threadIdx.x; column < columns; column += block_threads) sum += term(row * columns + column, column);
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) sums[row * step] = sum;
}

template <class Term>
void over_rows(Context& context, const TensorView& shape, double* sums, int64_t step, const Term& term) {
  if (shape.extent(0) > 0) launch(context, static_cast<unsigned>(shape.extent(0)), block_threads, 0, sum_rows<Term>, shape.extent(1), sums, step, term);
}

}  // namespace

void output_shift(Context& context, const Views& in, const Views& out, const Options&) {
  const AnyFloat W(in[0]), What(in[1]);
  const double *mean = in[2].as<double>(), *mean_hat = in[3].as<double>();
  over_rows(context, in[0], out[0].as<double>(), 1, [=] __device__(int64_t i, int64_t column) { return W.precise(i) * mean[column] - What.precise(i) * mean_hat[column]; });
}

void residual_columns(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t I = in[0].extent(1), k = in[2].count();
  const AnyFloat W(in[0]), What(in[1]);
  const int32_t* columns = in[2].as<int32_t>();
  float* differences = out[0].as<float>();
  FaultSlot* slot = context.fault([columns_of = I](uint32_t, uint32_t column) { return "column " + std::to_string(static_cast<int32_t>(column)) + " of " + std::to_string(columns_of) + " was asked for"; });
  for_rows(context, in[0].extent(0), k, [=] __device__(int64_t row, int64_t j) {
    const int64_t column = columns[j];
    if (column < 0 || column >= I) report(slot, j, static_cast<uint32_t>(columns[j]));
    const int64_t at = row * I + inside(column, I);
    differences[row * k + j] = static_cast<float>(W.precise(at) - What.precise(at));
  });
}

void variance_sums(Context& context, const Views& in, const Views& out, const Options&) {
  for (int which = 0; which < 2; ++which) {
    const AnyFloat weight(in[which]), product(in[2 + which]);
    over_rows(context, in[0], out[0].as<double>() + which, 2, [=] __device__(int64_t i, int64_t) { return weight.precise(i) * product.precise(i); });
  }
}

}  // namespace bitwright::cuda
