// Inputs of the solvers' tests: correlated tokens, their Gram matrices, and sums in float64.
#pragma once
#include "runner.h"

namespace bitwright_test {

/// Options of a grid and its observer.
inline Options grid_options(int num_bits, bool symmetric, const std::string& strategy = "channel", int64_t group_size = 0) {
  return options({{"num_bits", static_cast<double>(num_bits)}, {"symmetric", symmetric}, {"strategy", strategy}, {"group_size", static_cast<double>(group_size)}, {"observer", std::string("minmax")}, {"block_size", 128.0}});
}

/// Tokens [T, n]: independent values, plus a part that all columns share through a random mixture.
inline Array tokens_of(int64_t n, int64_t n_tokens, uint32_t seed, double correlation = 0.3) {
  const Array x = normal(DType::F32, {n_tokens, n}, seed), mix = normal(DType::F32, {n, n}, seed + 1, correlation);
  return array_of(DType::F32, {n_tokens, n}, [&](int64_t i) {
    const int64_t t = i / n, c = i % n;
    double sum = x.at(t, c);
    for (int64_t k = 0; k < n; ++k) sum += x.at(t, k) * mix.at(k, c);
    return sum;
  });
}

/// xᵀ y in float64, rounded to F32 once.
inline Array gram(const Array& x, const Array& y) {
  const int64_t T = x.spec.shape[0], n = x.spec.shape[1];
  return array_of(DType::F32, {n, n}, [&](int64_t i) {
    double sum = 0;
    for (int64_t t = 0; t < T; ++t) sum += x.at(t, i / n) * y.at(t, i % n);
    return sum;
  });
}

/// x = A⁻¹ b for a symmetric positive definite A [n × n], by elimination.
inline std::vector<double> solve(std::vector<double> A, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j) {
      const double factor = A[j * n + i] / A[i * n + i];
      for (size_t k = i; k < n; ++k) A[j * n + k] -= factor * A[i * n + k];
      b[j] -= factor * b[i];
    }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= A[i * n + k] * b[k];
    b[i] /= A[i * n + i];
  }
  return b;
}

inline double mean_diagonal(const Array& H) {
  const int64_t n = H.spec.shape[0];
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += H.at(i, i) / static_cast<double>(n);
  return sum;
}

}  // namespace bitwright_test
