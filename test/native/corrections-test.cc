// Corrections behind a quantizer against sums in double: what the mean of an output moves by, and how its variance changes.
#include <cmath>

#include "runner.h"

using namespace bitwright_test;

namespace {

const Case shift_cases("output_shift is W mean - What mean_hat, in double, for every float type", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const Shape& shape : {Shape{37, 65}, Shape{1, 1}, Shape{3, 700}}) {
      const Array W = normal(dtype, shape, 91), What = normal(DType::F32, shape, 92), mean = normal(DType::F64, {shape[1]}, 93), hat = normal(DType::F64, {shape[1]}, 94);
      std::vector<double> expected(static_cast<size_t>(shape[0]));
      for (int64_t o = 0; o < shape[0]; ++o)
        for (int64_t i = 0; i < shape[1]; ++i) expected[static_cast<size_t>(o)] += W.at(o, i) * mean.at(i) - What.at(o, i) * hat.at(i);
      expect_close(run_everywhere("output_shift", {W, What, mean, hat}, {})[0], expected, 1e-13);
    }
  const Array W = normal(DType::F32, {4, 8}, 91);
  expect_refused("output_shift", {W, W, normal(DType::F32, {8}, 93), normal(DType::F64, {8}, 94)}, {}, "two means F64 [I]");
});

const Case sums_cases("variance_sums gives w H w and its twin for every row", [] {
  const Array W = normal(DType::BF16, {33, 130}, 95), What = normal(DType::BF16, {33, 130}, 96), P = normal(DType::F32, {33, 130}, 97), Q = normal(DType::F32, {33, 130}, 98);
  std::vector<double> expected(66);
  for (int64_t o = 0; o < 33; ++o)
    for (int64_t i = 0; i < 130; ++i) {
      expected[static_cast<size_t>(2 * o)] += W.at(o, i) * P.at(o, i);
      expected[static_cast<size_t>(2 * o + 1)] += What.at(o, i) * Q.at(o, i);
    }
  expect_close(run_everywhere("variance_sums", {W, What, P, Q}, {})[0], expected, 1e-13);
  expect_refused("variance_sums", {W, What, P, normal(DType::F32, {33, 129}, 98)}, {}, "their products with H");
});

const Case column_cases("residual_columns takes the columns that are asked for, in their order", [] {
  const Array W = normal(DType::BF16, {7, 9}, 61), What = normal(DType::F32, {7, 9}, 62);
  const int32_t wanted[] = {8, 0, 3};
  const Array columns = array_of(DType::I32, {3}, [&](int64_t i) { return wanted[i]; });
  std::vector<double> expected;
  for (int64_t o = 0; o < 7; ++o)
    for (int32_t column : wanted) expected.push_back(W.at(o, column) - What.at(o, column));
  expect_close(run_everywhere("residual_columns", {W, What, columns}, {})[0], expected, 1e-7);
  expect_refused("residual_columns", {W, What, array_of(DType::F32, {3}, [](int64_t) { return 0.0; })}, {}, "columns I32");
});

/// Σ of the squares of the singular values of E L behind the first `rank`, by deflating E H Eᵀ in double with power iteration.
double least_error(const std::vector<double>& E, const std::vector<double>& H, int64_t O, int64_t I, int64_t rank) {
  std::vector<double> M(static_cast<size_t>(O * O));
  for (int64_t a = 0; a < O; ++a)
    for (int64_t i = 0; i < I; ++i) {
      double product = 0;
      for (int64_t j = 0; j < I; ++j) product += E[static_cast<size_t>(a * I + j)] * H[static_cast<size_t>(j * I + i)];
      for (int64_t b = 0; b < O; ++b) M[static_cast<size_t>(a * O + b)] += product * E[static_cast<size_t>(b * I + i)];
    }
  double left = 0;
  for (int64_t a = 0; a < O; ++a) left += M[static_cast<size_t>(a * O + a)];
  for (int64_t k = 0; k < rank; ++k) {
    std::vector<double> v(static_cast<size_t>(O)), next(v);
    for (int64_t a = 0; a < O; ++a) v[static_cast<size_t>(a)] = 1 + 0.1 * static_cast<double>((a * 7 + k * 3) % 11);
    double value = 0;
    for (int step = 0; step < 3000; ++step) {
      double length = 0;
      for (int64_t a = 0; a < O; ++a) {
        next[static_cast<size_t>(a)] = 0;
        for (int64_t b = 0; b < O; ++b) next[static_cast<size_t>(a)] += M[static_cast<size_t>(a * O + b)] * v[static_cast<size_t>(b)];
        length += next[static_cast<size_t>(a)] * next[static_cast<size_t>(a)];
      }
      value = std::sqrt(length);
      if (value == 0) break;
      for (int64_t a = 0; a < O; ++a) v[static_cast<size_t>(a)] = next[static_cast<size_t>(a)] / value;
    }
    left -= value;
    for (int64_t a = 0; a < O; ++a)
      for (int64_t b = 0; b < O; ++b) M[static_cast<size_t>(a * O + b)] -= value * v[static_cast<size_t>(a)] * v[static_cast<size_t>(b)];
  }
  return left;
}

const Case residual_cases("low_rank_residual leaves the least error of its rank, with H and without, for tall, wide and singular residuals", [] {
  for (const Shape& shape : {Shape{20, 33}, Shape{40, 12}, Shape{1, 9}, Shape{16, 1}})
    for (const bool with_hessian : {true, false})
      for (const double rank : {1.0, 4.0, 30.0}) {
        const int64_t O = shape[0], I = shape[1];
        const Array W = normal(DType::F32, shape, 51), What = normal(DType::F32, shape, 52), X = normal(DType::F32, {5 * I, I}, 53);
        // The last column is never reached.
        const Array H = array_of(DType::F32, {I, I}, [&](int64_t k) {
          double sum = 0;
          for (int64_t t = 0; t < 5 * I; ++t) sum += X.at(t, k / I) * X.at(t, k % I);
          return I > 1 && (k / I == I - 1 || k % I == I - 1) ? 0.0 : sum;
        });
        std::vector<double> E, metric;
        for (int64_t k = 0; k < O * I; ++k) E.push_back(W.at(k) - What.at(k));
        for (int64_t k = 0; k < I * I; ++k) metric.push_back(with_hessian ? H.at(k) : k / I == k % I ? 1.0 : 0.0);
        const std::vector<Array> result = run("low_rank_residual", {W, What, with_hessian ? H : none()}, options({{"rank", rank}, {"n_iterations", 40.0}}), 2);
        const int64_t r = static_cast<int64_t>(rank);
        std::vector<double> left = E;
        for (int64_t o = 0; o < O; ++o)
          for (int64_t i = 0; i < I; ++i)
            for (int64_t k = 0; k < r; ++k) left[static_cast<size_t>(o * I + i)] -= result[0].at(o, k) * result[1].at(k, i);
        const double whole = least_error(E, metric, O, I, 0), found = least_error(left, metric, O, I, 0), least = least_error(E, metric, O, I, std::min(r, std::min(O, I)));
        expect(std::fabs(result[2].at(0) - whole) <= 1e-4 * whole && std::fabs(result[2].at(1) - found) <= 1e-4 * whole, "the errors told are " + std::to_string(result[2].at(0)) + ", " + std::to_string(result[2].at(1)));
        expect(found <= least + 1e-3 * whole, "rank " + std::to_string(r) + " leaves " + std::to_string(found) + " of " + std::to_string(whole) + ", the least is " + std::to_string(least));
      }
  // No residual: nothing to add.
  const Array W = normal(DType::BF16, {6, 8}, 54);
  for (const Array& matrix : run("low_rank_residual", {W, W, none()}, options({{"rank", 2.0}}), 2))
    for (int64_t i = 0; i < matrix.spec.count(); ++i) expect(matrix.at(i) == 0, "a residual of zeros");
  expect_refused("low_rank_residual", {W, W, none()}, options({{"rank", 0.0}}), "rank 0");
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)})
    expect_refused("low_rank_residual", {array_of(DType::F32, {6, 8}, [&](int64_t i) { return i == 9 ? bad : 1.0; }), W, none()}, options({{"rank", 2.0}}), "holds a NaN or an infinity");
  const Array flat = array_of(DType::F32, {8, 8}, [](int64_t i) { return i == 5 ? NAN : 1.0; });
  expect_refused("low_rank_residual", {normal(DType::F32, {6, 8}, 55), W, flat}, options({{"rank", 2.0}}), "holds a NaN or an infinity");
});

const Case spectrum_cases("low_rank_residual finds a few large directions among many small ones, in BF16 weights of 65 and of one more row than a warp has", [] {
  for (const int64_t O : {65, 33}) {
    const int64_t I = 130, r = 5;
    // Five directions of sizes 32 to 2, and noise far below them.
    const Array left = normal(DType::F32, {O, r}, 56), right = normal(DType::F32, {r, I}, 57), noise = normal(DType::F32, {O, I}, 58, 1e-3);
    const Array W = array_of(DType::F32, {O, I}, [&](int64_t i) {
      double sum = noise.at(i);
      for (int64_t k = 0; k < r; ++k) sum += std::ldexp(1.0, static_cast<int>(r - k)) * left.at(i / I, k) * right.at(k, i % I) / std::sqrt(static_cast<double>(O * I));
      return sum;
    });
    const Array What = array_of(DType::BF16, {O, I}, [](int64_t) { return 0.0; });
    const std::vector<Array> result = run_everywhere("low_rank_residual", {W, What, none()}, options({{"rank", static_cast<double>(r)}}));
    expect(result[2].at(1) < 1.2 * static_cast<double>(O * I) * 1e-6 && result[2].at(0) > 100, "of " + std::to_string(result[2].at(0)) + " is left " + std::to_string(result[2].at(1)));
    // B has orthonormal columns.
    for (int64_t a = 0; a < r; ++a)
      for (int64_t b = 0; b <= a; ++b) {
        double dot = 0;
        for (int64_t o = 0; o < O; ++o) dot += result[0].at(o, a) * result[0].at(o, b);
        expect(std::fabs(dot - (a == b ? 1 : 0)) < 1e-5, "columns " + std::to_string(a) + " and " + std::to_string(b) + ": " + std::to_string(dot));
      }
  }
});

}  // namespace
