// The upper factor of the Hessian on a CUDA device, its inverse, column order and dead columns: see gptq-factor.cc. The factorization waits for its outcome,
// because a failure decides what is done next.
// Beside inputs and results: the factor takes 4 n² + 512 n bytes (twice that where it is repeated in double precision), the inverse 5 n².
#include <cmath>

#include "cuda/launch.cuh"
#include "quantizers/cholesky.cuh"
#include "quantizers/gptq-column.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

struct Diagonal {
  double sum, n_dead;
};
struct AddDiagonals {
  __device__ Diagonal operator()(const Diagonal& a, const Diagonal& b) const { return {a.sum + b.sum, a.n_dead + b.n_dead}; }
};

__global__ void __launch_bounds__(block_threads) look_at_diagonal(const float* H, int64_t n, Diagonal* result, FaultSlot* slot) {
  __shared__ Diagonal shared[block_threads / warp_threads];
  Diagonal own{0, 0};
  for (int64_t i = threadIdx.x; i < n; i += block_threads) {
    const float diagonal = H[i * n + i];
    if (!isfinite(diagonal) || diagonal < 0) report(slot, i, bits_of(diagonal));
    own = AddDiagonals{}(own, {diagonal == 0 ? 1.0 : static_cast<double>(diagonal), diagonal == 0 ? 1.0 : 0.0});
  }
  own = over_block(own, shared, AddDiagonals{});
  if (threadIdx.x == 0) *result = own;
}

template <class Real>
bool factor(Context& context, int64_t n, const float* H, const int32_t* permutation, double damping, float* R) {
  const Scratch<Real> matrix = context.scratch<Real>(n * n);
  const Scratch<int32_t> flags = context.scratch<int32_t>(2);
  Real* A = matrix.data();
  int32_t* failed = flags.data();
  for_rows(context, n, n, [=] __device__(int64_t i, int64_t j) {
    Real value = H[inside(reversed_column_at(permutation, n, i), n) * n + inside(reversed_column_at(permutation, n, j), n)];
    if (i == j) value = static_cast<Real>((value == 0 ? 1.0 : static_cast<double>(value)) + damping);
    A[i * n + j] = value;
  });
  cholesky_lower<Real>(context, n, A, failed);
  context.clear(failed + 1, sizeof(int32_t));
  for_rows(context, n, n, [=] __device__(int64_t i, int64_t j) {
    const float value = j < i ? 0.0f : static_cast<float>(A[(n - 1 - i) * n + (n - 1 - j)]);
    if (!isfinite(value)) raise_flag(failed + 1);
    R[i * n + j] = value;
  });
  int32_t outcome[2] = {};
  context.read(outcome, failed, sizeof outcome);
  return outcome[0] == 0 && outcome[1] == 0;
}

}  // namespace

void gptq_factor(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t n = in[0].extent(0);
  const float* H = in[0].as<float>();
  const int32_t* permutation = ints_or_null(in[1]);
  float* R = out[0].as<float>();
  check_permutation(context, in[1], n);
  const Scratch<Diagonal> looked = context.scratch<Diagonal>(1);
  FaultSlot* slot = context.fault([](uint32_t column, uint32_t bits) { return "diag(H) at column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
  launch(context, 1, block_threads, 0, look_at_diagonal, H, n, looked.data(), slot);
  context.settle_here();
  Diagonal diagonal{};
  context.read(&diagonal, looked.data(), sizeof diagonal);
  const double mean = diagonal.sum / static_cast<double>(n), n_dead = diagonal.n_dead;
  double fraction = options.number("dampening_frac");
  double n_retries = 0;
  bool done = factor<float>(context, n, H, permutation, fraction * mean, R);
  // Single precision may fail where the matrix is fine: once in double with the same damping, then with ten times as much.
  while (!done && fraction <= 1.0) {
    if (n_retries > 0) fraction = fraction == 0 ? 0.01 : fraction * 10;
    ++n_retries;
    done = factor<double>(context, n, H, permutation, fraction * mean, R);
  }
  if (!done) throw Failure{"not positive definite even with a damping of " + std::to_string(fraction) + " times its mean diagonal"};
  double* info = out[1].as<double>();
  for_each(context, 1, [=] __device__(int64_t) {
    info[0] = fraction;
    info[1] = n_dead;
    info[2] = n_retries;
    info[3] = mean;
  });
}

void inverse_factor(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n = in[0].extent(0);
  const float* R = in[0].as<float>();
  float* U = out[0].as<float>();
  FaultSlot* diagonal = context.fault([](uint32_t column, uint32_t bits) { return "the factor has " + std::to_string(float_of(bits)) + " on its diagonal at column " + std::to_string(column); });
  for_each(context, n, [=] __device__(int64_t i) {
    if (!(R[i * n + i] > 0)) report(diagonal, i, bits_of(R[i * n + i]));
  });
  // L is read for the last time before U is written.
  const Scratch<float> inverse = context.scratch<float>(n * n);
  float *L = U, *X = inverse.data();
  for_rows(context, n, n, [=] __device__(int64_t i, int64_t j) { L[i * n + j] = R[(n - 1 - i) * n + (n - 1 - j)]; });
  invert_lower(context, n, L, X);
  FaultSlot* slot = context.fault([](uint32_t, uint32_t) { return std::string("the inverse of the factor is not finite"); });
  for_rows(context, n, n, [=] __device__(int64_t i, int64_t j) {
    const float value = j < i ? 0.0f : X[(n - 1 - i) * n + (n - 1 - j)];
    if (!isfinite(value)) report(slot, i, bits_of(value));
    U[i * n + j] = value;
  });
}

void hessian_order(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n = in[0].extent(0);
  const float* H = in[0].as<float>();
  const Scratch<float> diagonals = context.scratch<float>(n);
  float* diagonal = diagonals.data();
  int32_t* order = out[0].as<int32_t>();
  // A NaN is taken for the smallest, so that every column has its place; the factorization will refuse it.
  for_each(context, n, [=] __device__(int64_t i) { diagonal[i] = isnan(H[i * n + i]) ? -INFINITY : H[i * n + i]; });
  // The place of a column is the number of those before it.
  for_each(context, n, [=] __device__(int64_t i) {
    int64_t place = 0;
    for (int64_t j = 0; j < n; ++j) place += diagonal[j] > diagonal[i] || (diagonal[j] == diagonal[i] && j < i);
    order[place] = static_cast<int32_t>(i);
  });
}

void dead_columns(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n = in[0].extent(0);
  const float* H = in[0].as<float>();
  uint8_t* dead = out[0].as<uint8_t>();
  for_each(context, n, [=] __device__(int64_t i) { dead[i] = H[i * n + i] == 0; });
}

}  // namespace bitwright::cuda
