// The residual of quantization as two thin matrices, on a CUDA device: see low-rank-residual.cc, whose subspace iteration from the same numbers this is. Products
// are cuBLAS's in single precision, orthonormalization and the small eigenproblem double; only their order differs: Gram and Schmidt take all earlier columns
// together (twice, which is as good as one after the other), and Jacobi turns l / 2 pairs at once, each pair of pairs by one thread.
//
// What differs from the processor's: where singular values lie close together, U is another basis of the same space. What is left, tr((E - B A) H (E - B A)ᵀ),
// differs by what single-precision products round: on both it is within 1e-3 of the whole from the least possible (test/native/corrections-test.cc).
//
// Beside inputs and results, with l = rank + 8: the residual, its product with H where there is one, and the bases: 8 O · I + l (24 O + 4 I) bytes.
#include "cuda/reductions.cuh"
#include "transforms/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int64_t oversampled = 8;

/// parts[k] = column k · column j, for k < gridDim. Columns lie behind each other.
__global__ void __launch_bounds__(block_threads) find_parts(const double* columns, int64_t rows, int64_t j, double* parts) {
  __shared__ double shared[block_threads / warp_threads];
  const double *a = columns + static_cast<int64_t>(blockIdx.x) * rows, *b = columns + j * rows;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += block_threads) sum += a[i] * b[i];
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/// Columns of Q [rows, l] made orthonormal in their order, twice over, also as doubles, column by column; one that depends on those before becomes zero.
void orthonormalize(Context& context, float* Q, double* columns, int64_t rows, int64_t l) {
  const Scratch<double> work = context.scratch<double>(l + 1);
  double *parts = work.data(), *before = parts + l;
  for_rows(context, l, rows, [=] __device__(int64_t j, int64_t i) { columns[j * rows + i] = Q[i * l + j]; });
  for (int64_t j = 0; j < l; ++j) {
    if (j % 16 == 0) context.step();
    double* own = columns + j * rows;
    // The last part is the column's own square.
    launch(context, 1, block_threads, 0, find_parts, own, rows, 0, before);
    for (int pass = 0; pass < 2 && j > 0; ++pass) {
      launch(context, static_cast<unsigned>(j), block_threads, 0, find_parts, columns, rows, j, parts);
      for_each(context, rows, [=] __device__(int64_t i) {
        double value = own[i];
        for (int64_t k = 0; k < j; ++k) value -= parts[k] * columns[k * rows + i];
        own[i] = value;
      });
    }
    launch(context, 1, block_threads, 0, find_parts, own, rows, 0, parts);
    for_each(context, rows, [=] __device__(int64_t i) {
      const double length = sqrt(parts[0]);
      own[i] *= length > 1e-6 * sqrt(*before) && length > 0 ? 1 / length : 0;
    });
  }
  for_rows(context, rows, l, [=] __device__(int64_t i, int64_t j) { Q[i * l + j] = static_cast<float>(columns[j * rows + i]); });
}

/// The pairs of a round in which each of n numbers (n even) meets another: the first stays, the others walk around.
struct Pair {
  int64_t p, q;
};
__device__ inline Pair pair_of(int64_t n, int64_t round, int64_t nth) {
  const auto at = [n, round](int64_t place) { return place == 0 ? int64_t{0} : 1 + (place - 1 + round) % (n - 1); };
  const int64_t a = at(nth), b = at(n - 1 - nth);
  return a < b ? Pair{a, b} : Pair{b, a};
}

struct Rotation {
  double c, s;
};

/// x, y by the rotation that makes their pair diagonal.
__device__ inline void turn(const Rotation& by, double& x, double& y) {
  const double a = by.c * x - by.s * y;
  y = by.s * x + by.c * y;
  x = a;
}

/// One sweep of rotations over all pairs of T [l, l] symmetric; V gets them too. Where l is odd, one of each round meets nobody.
void sweep(Context& context, double* T, double* V, Rotation* rotations, int64_t l) {
  const int64_t n = l + l % 2, n_pairs = n / 2;
  for (int64_t round = 0; round < n - 1; ++round) {
    for_each(context, n_pairs, [=] __device__(int64_t i) {
      const Pair pair = pair_of(n, round, i);
      Rotation by{1, 0};
      if (pair.q < l && T[pair.p * l + pair.q] != 0) {
        const double theta = (T[pair.q * l + pair.q] - T[pair.p * l + pair.p]) / (2 * T[pair.p * l + pair.q]);
        const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
        by.c = 1 / sqrt(t * t + 1);
        by.s = t * by.c;
      }
      rotations[i] = by;
    });
    // The four elements where two pairs cross are read and written by one thread alone.
    for_rows(context, n_pairs, n_pairs, [=] __device__(int64_t i, int64_t k) {
      const Pair rows = pair_of(n, round, i), columns = pair_of(n, round, k);
      const bool has_row = rows.q < l, has_column = columns.q < l;
      double none = 0;
      double &a = T[rows.p * l + columns.p], &b = has_column ? T[rows.p * l + columns.q] : none, &c = has_row ? T[rows.q * l + columns.p] : none;
      double& d = has_row && has_column ? T[rows.q * l + columns.q] : none;
      double w = a, x = b, y = c, z = d;
      turn(rotations[k], w, x);
      turn(rotations[k], y, z);
      turn(rotations[i], w, y);
      turn(rotations[i], x, z);
      a = w;
      if (has_column) b = x;
      if (has_row) c = y;
      if (has_row && has_column) d = z;
    });
    for_rows(context, l, n_pairs, [=] __device__(int64_t row, int64_t k) {
      const Pair columns = pair_of(n, round, k);
      if (columns.q < l) turn(rotations[k], V[row * l + columns.p], V[row * l + columns.q]);
    });
  }
}

/// parts[row] = the sum of squares of a row of T beside the diagonal, parts[rows + row] the square on it.
__global__ void __launch_bounds__(block_threads) find_squares(const double* T, int64_t l, double* parts) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t row = blockIdx.x;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < l; i += block_threads)
    if (i != row) sum += T[row * l + i] * T[row * l + i];
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x != 0) return;
  parts[row] = sum;
  parts[l + row] = T[row * l + row] * T[row * l + row];
}

/// Eigenvectors of T as the columns of V; T becomes diagonal.
void jacobi(Context& context, double* T, double* V, int64_t l) {
  const Scratch<Rotation> rotations = context.scratch<Rotation>(l / 2 + 1);
  const Scratch<double> squares = context.scratch<double>(2 * l + 2);
  double *parts = squares.data(), *sums = parts + 2 * l;
  for_each(context, l * l, [=] __device__(int64_t i) { V[i] = i / l == i % l; });
  for (int nth = 0; nth < 30; ++nth) {
    context.step();
    launch(context, static_cast<unsigned>(l), block_threads, 0, find_squares, T, l, parts);
    context.clear(sums, 2 * sizeof(double));
    merge_into(context, sums, parts, l, 0.0, Sum{});
    merge_into(context, sums + 1, parts + l, l, 0.0, Sum{});
    double read[2];
    context.read(read, sums, sizeof read);
    if (read[0] <= 1e-24 * read[1]) return;
    sweep(context, T, V, rotations.data(), l);
  }
}

/// partials[block] = Σ a · b over every gridDim-th stretch.
__global__ void __launch_bounds__(block_threads) find_products(const float* a, const float* b, int64_t n, double* partials) {
  __shared__ double shared[block_threads / warp_threads];
  double sum = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < n; i += static_cast<int64_t>(gridDim.x) * block_threads) sum += static_cast<double>(a[i]) * b[i];
  sum = over_block(sum, shared, Sum{});
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/// *result = Σ a · b.
void inner(Context& context, const float* a, const float* b, int64_t n, double* result) {
  const int64_t n_partials = std::min<int64_t>(1024, (n + block_threads - 1) / block_threads);
  const Scratch<double> partials = context.scratch<double>(n_partials);
  context.clear(result, sizeof(double));
  if (n == 0) return;
  launch(context, static_cast<unsigned>(n_partials), block_threads, 0, find_products, a, b, n, partials.data());
  merge_into(context, result, partials.data(), n_partials, 0.0, Sum{});
}

/// The numbers the processor begins from: element i is that after i + 1 steps of its generator.
__device__ inline float start_value(int64_t i) {
  uint64_t factor = 6364136223846793005u, addend = 1442695040888963407u, state = 0x9e3779b97f4a7c15u;
  for (uint64_t steps = static_cast<uint64_t>(i) + 1; steps > 0; steps /= 2) {
    if (steps % 2 == 1) state = state * factor + addend;
    addend *= factor + 1;
    factor *= factor;
  }
  return static_cast<float>(static_cast<double>(state >> 40) / (1 << 24) - 0.5);
}

}  // namespace

void low_rank_residual(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t O = in[0].extent(0), I = in[0].extent(1), rank = options.integer("rank"), n_iterations = options.integer("n_iterations", 8);
  const int64_t l = std::min(rank + oversampled, std::min(O, I)), kept = std::min(rank, l);
  float *B = out[0].as<float>(), *A = out[1].as<float>();
  double* errors = out[2].as<double>();
  for (const TensorView& view : out) context.clear(view.data, view.bytes());
  if (l == 0) return;
  const Scratch<float> residual = context.scratch<float>(O * I), weighed = context.scratch<float>(in[2].present ? O * I : 0), basis = context.scratch<float>(O * l), product = context.scratch<float>(O * l),
                       thin = context.scratch<float>(I * l);
  const Scratch<double> columns = context.scratch<double>(O * l), image = context.scratch<double>(O * l), small = context.scratch<double>(3 * l * l);
  float *E = residual.data(), *EH = in[2].present ? weighed.data() : E, *Q = basis.data(), *Z = product.data(), *Y = thin.data();
  double *Qd = columns.data(), *Zd = image.data(), *T = small.data(), *V = T + l * l, *S = V + l * l;
  const AnyFloat W(in[0]), What(in[1]);
  for_each(context, O * I, [=] __device__(int64_t i) { E[i] = W.value(i) - What.value(i); });
  const auto weigh = [&] {
    if (in[2].present) context.gemm(DType::F32, false, false, O, I, I, 1, E, I, in[2].as<float>(), I, 0, EH, I);
  };
  weigh();
  inner(context, E, EH, O * I, errors);
  double whole = 0;
  context.read(&whole, errors, sizeof whole);
  const char* odd = "the residual or the Hessian holds a NaN or an infinity";
  if (!std::isfinite(whole)) throw Failure{odd};
  for_each(context, O * l, [=] __device__(int64_t i) { Q[i] = start_value(i); });
  orthonormalize(context, Q, Qd, O, l);
  const auto times = [&] {
    context.gemm(DType::F32, true, false, I, l, O, 1, E, I, Q, l, 0, Y, l);
    context.gemm(DType::F32, false, false, O, l, I, 1, EH, I, Y, l, 0, Z, l);
  };
  for (int64_t step = 0; step < n_iterations; ++step) {
    context.step();
    times();
    std::swap(Q, Z);
    orthonormalize(context, Q, Qd, O, l);
  }
  times();
  // T = Qᵀ Z, made symmetric; Q as a reader of the floats sees it.
  for_rows(context, O, l, [=] __device__(int64_t i, int64_t j) {
    Qd[i * l + j] = Q[i * l + j];
    Zd[i * l + j] = Z[i * l + j];
  });
  context.gemm(DType::F64, true, false, l, l, O, 1, Qd, l, Zd, l, 0, S, l);
  for_rows(context, l, l, [=] __device__(int64_t a, int64_t b) { T[a * l + b] = (S[a * l + b] + S[b * l + a]) / 2; });
  jacobi(context, T, V, l);
  context.gemm(DType::F64, false, false, O, l, l, 1, Qd, l, V, l, 0, Zd, l);
  // The largest first, of equal ones the first.
  for_rows(context, O, l, [=] __device__(int64_t i, int64_t j) {
    int64_t place = 0;
    for (int64_t k = 0; k < l; ++k) place += T[k * l + k] > T[j * l + j] || (T[k * l + k] == T[j * l + j] && k < j);
    if (place < kept) B[i * rank + place] = static_cast<float>(Zd[i * l + j]);
  });
  context.gemm(DType::F32, true, false, rank, I, O, 1, B, rank, E, I, 0, A, I);
  // What is left, from what is handed out.
  context.gemm(DType::F32, false, false, O, I, rank, -1, B, rank, A, I, 1, E, I);
  weigh();
  inner(context, E, EH, O * I, errors + 1);
  FaultSlot* slot = context.fault([odd](uint32_t, uint32_t) { return std::string(odd); });
  for_each(context, 1, [=] __device__(int64_t) {
    if (!isfinite(errors[1])) report(slot, 0, 0);
  });
}

}  // namespace bitwright::cuda
