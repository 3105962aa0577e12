// Corrections behind a quantizer against sums in double: what the mean of an output moves by, and how its variance changes.
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

}  // namespace
