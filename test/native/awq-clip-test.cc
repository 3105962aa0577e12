// AWQ's search for clipping: errors of cells against d H d in double, weights cut to a part of the largest of their cell.
#include <algorithm>
#include <cmath>

#include "runner.h"

using namespace bitwright_test;

namespace {

Options cells(const char* strategy, int64_t group_size) { return options({{"strategy", std::string(strategy)}, {"group_size", static_cast<double>(group_size)}}); }

const Case error_cases("cell_errors is d H d of every cell of tensors, rows and groups", [] {
  const int64_t O = 21, I = 48;
  const Array W = normal(DType::BF16, {O, I}, 31), What = normal(DType::BF16, {O, I}, 32), X = normal(DType::F32, {64, I}, 33);
  const Array H = array_of(DType::F32, {I, I}, [&](int64_t k) {
    double sum = 0;
    for (int64_t t = 0; t < 64; ++t) sum += X.at(t, k / I) * X.at(t, k % I);
    return sum;
  });
  for (const auto& [strategy, size] : {std::pair{"group", int64_t{16}}, std::pair{"channel", I}, std::pair{"tensor", I}}) {
    const int64_t n_groups = I / size;
    std::vector<double> expected(static_cast<size_t>(std::string(strategy) == "tensor" ? 1 : O * n_groups));
    for (int64_t o = 0; o < O; ++o)
      for (int64_t i = 0; i < I; ++i)
        for (int64_t j = i / size * size; j < (i / size + 1) * size; ++j)
          expected[static_cast<size_t>(expected.size() == 1 ? 0 : o * n_groups + i / size)] += (W.at(o, i) - What.at(o, i)) * H.at(i, j) * (W.at(o, j) - What.at(o, j));
    expect_close(run_everywhere("cell_errors", {W, What, H}, cells(strategy, size))[0], expected, 1e-5);
  }
  expect_refused("cell_errors", {W, What, H}, options({{"strategy", std::string("block")}, {"block_rows", 4.0}, {"block_columns", 4.0}}), "not for blocks");
});

const Case clip_cases("clip_cells cuts to a part of the largest magnitude of a cell, and leaves zeros and factors of 1 alone", [] {
  const int64_t O = 9, I = 32;
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    Array W = normal(dtype, {O, I}, 41);
    for (const auto& [strategy, size] : {std::pair{"group", int64_t{8}}, std::pair{"channel", I}, std::pair{"tensor", I}}) {
      const bool per_tensor = std::string(strategy) == "tensor";
      const int64_t n_groups = I / size;
      const Array factors = array_of(DType::F32, per_tensor ? Shape{1} : Shape{O, n_groups}, [](int64_t k) { return k % 3 == 2 ? 1.0 : 0.5 + 0.125 * static_cast<double>(k % 3); });
      std::vector<double> expected;
      for (int64_t k = 0; k < O * I; ++k) {
        double most = 0;
        for (int64_t other = 0; other < O * I; ++other)
          if (per_tensor || (other / I == k / I && other % I / size == k % I / size)) most = std::max(most, std::fabs(W.at(other)));
        const double limit = most * factors.at(per_tensor ? 0 : k / I * n_groups + k % I / size);
        expected.push_back(std::clamp(W.at(k), -limit, limit));
      }
      expect_close(run_everywhere("clip_cells", {W, factors}, cells(strategy, size))[0], expected, dtype == DType::F32 ? 1e-7 : dtype == DType::F16 ? 1.0 / 2048 : 1.0 / 256);
    }
  }
  expect_refused("clip_cells", {normal(DType::F32, {4, 8}, 1), normal(DType::F32, {4, 8}, 2)}, cells("group", 4), "factors");
});

}  // namespace
