// Blocks of a codebook: every code against a float64 table, both levels against float64 formulas, the edges, and what is refused.
#include "runner.h"

using namespace bitwright_test;

namespace {

const std::vector<double> table = {-1, -0.75, -0.3, 0, 0.1, 0.5, 1};

Array codebook() {
  return array_of(DType::F32, {static_cast<int64_t>(table.size())}, [](int64_t i) { return table[static_cast<size_t>(i)]; });
}
Options sizes(double blocksize, double rows, double columns, const std::string& dtype = "F32") { return options({{"blocksize", blocksize}, {"rows", rows}, {"columns", columns}, {"dtype", dtype}}); }

const Case code_cases("blockwise: every value of the codebook comes back, whatever the magnitude of its block", [] {
  const int64_t n = static_cast<int64_t>(table.size());
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const double magnitude : {1.0, 0.25, 64.0}) {
      const Array x = array_of(dtype, {1, n}, [&](int64_t i) { return magnitude * table[static_cast<size_t>(i)]; });
      const std::vector<Array> coded = run_everywhere("blockwise_codes", {x, codebook()}, sizes(64, 1, 1));
      const Array nibbles = run_everywhere("pack_nibbles", {coded[0]}, {})[0];
      const Array codes = run_everywhere("unpack_nibbles", {nibbles}, options({{"count", static_cast<double>(n)}}))[0];
      expect(coded[1].at(0) == magnitude, "magnitude " + std::to_string(coded[1].at(0)));
      const Array back = run_everywhere("blockwise_values", {codes, coded[1], codebook(), none()}, sizes(64, 1, static_cast<double>(n)))[0];
      for (int64_t i = 0; i < n; ++i) {
        expect(codes.at(i) == static_cast<double>(i), "code " + std::to_string(codes.at(i)) + " of value " + std::to_string(i));
        expect(std::fabs(back.at(i) - magnitude * table[static_cast<size_t>(i)]) <= 1e-6 * magnitude, "value " + std::to_string(back.at(i)));
      }
    }
});

const Case nearest_cases("blockwise: the nearest value, blocks end to end through rows, the last one shorter", [] {
  const Array x = normal(DType::F32, {5, 27}, 31, 0.2);
  const std::vector<Array> coded = run_everywhere("blockwise_codes", {x, codebook()}, sizes(16, 1, 1));
  expect(coded[1].spec.shape == Shape{9}, "135 values have 9 blocks of 16");
  for (int64_t i = 0; i < 135; ++i) {
    double largest = 0, least = INFINITY;
    for (int64_t j = i / 16 * 16; j < std::min<int64_t>(135, i / 16 * 16 + 16); ++j) largest = std::max(largest, std::fabs(x.at(j)));
    expect(coded[1].at(i / 16) == largest, "magnitude of block " + std::to_string(i / 16));
    for (const double value : table) least = std::min(least, std::fabs(value - x.at(i) / largest));
    const double own = std::fabs(table[static_cast<size_t>(coded[0].at(i))] - x.at(i) / largest);
    expect(own <= least + 1e-6, "value " + std::to_string(i) + " is " + std::to_string(own) + " away, " + std::to_string(least) + " would do");
  }
  const std::vector<Array> centered = run_everywhere("center", {coded[1]}, {});
  double mean = 0;
  for (int64_t i = 0; i < 9; ++i) mean += coded[1].at(i) / 9;
  expect(std::fabs(centered[1].at(0) - mean) < 1e-7, "mean " + std::to_string(centered[1].at(0)));
  const std::vector<Array> nested = run_everywhere("blockwise_codes", {centered[0], codebook()}, sizes(4, 1, 1));
  const Array back = run_everywhere("blockwise_values", {nested[0], nested[1], codebook(), centered[1]}, sizes(4, 1, 9))[0];
  for (int64_t i = 0; i < 9; ++i) {
    const double wanted = table[static_cast<size_t>(nested[0].at(i))] * nested[1].at(i / 4) + centered[1].at(0);
    expect(std::fabs(back.at(i) - wanted) < 1e-6, "magnitude " + std::to_string(back.at(i)) + ", not " + std::to_string(wanted));
  }
});

const Case size_cases("blockwise: one row and many, short blocks and long ones, both sizes of codebook: the nearest value, with the same bytes on every device", [] {
  const Array wide = array_of(DType::F32, {256}, [](int64_t i) { return (static_cast<double>(i) - 127.0) / 128.0; });
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const int64_t rows : {1, 65})
      for (const int64_t blocksize : {1, 33, 64, 100, 256, 257, 4096}) {
        const Array x = normal(dtype, {rows, 131}, 71, 0.3);
        for (const Array& values : {codebook(), wide}) {
          const std::vector<Array> coded = run_everywhere("blockwise_codes", {x, values}, sizes(static_cast<double>(blocksize), 1, 1));
          const Array back = run_everywhere("blockwise_values", {coded[0], coded[1], values, none()}, sizes(static_cast<double>(blocksize), static_cast<double>(rows), 131))[0];
          for (int64_t i = 0; i < x.spec.count(); ++i) {
            const double largest = coded[1].at(i / blocksize);
            double least = INFINITY;
            for (int64_t k = 0; k < values.spec.count(); ++k) least = std::min(least, std::fabs(values.at(k) * largest - x.at(i)));
            expect(std::fabs(back.at(i) - x.at(i)) <= least + 1e-6 * largest, "value " + std::to_string(i) + " in blocks of " + std::to_string(blocksize));
          }
        }
      }
  const Array many = normal(DType::F32, {70001}, 72, 3);
  double sum = 0;
  for (int64_t i = 0; i < 70001; ++i) sum += many.at(i);
  const std::vector<Array> centered = run_everywhere("center", {many}, {});
  expect(std::fabs(centered[1].at(0) - sum / 70001) <= 1e-7 * std::fabs(sum / 70001), "mean " + std::to_string(centered[1].at(0)));
  for (int64_t i = 0; i < 70001; i += 1000) expect(centered[0].at(i) == static_cast<double>(static_cast<float>(many.at(i)) - static_cast<float>(centered[1].at(0))), "value " + std::to_string(i));
  expect(std::isnan(run_everywhere("center", {array_of(DType::F32, {9}, [](int64_t i) { return i == 4 ? NAN : 1.0; })}, {})[1].at(0)), "a mean with a NaN");
  // A part of a tensor begins where no word does.
  const Array codes = array_of(DType::U8, {19}, [](int64_t i) { return static_cast<double>(i % 16); });
  const Array packed = run_chain(codes, "narrow", options({{"start", 3.0}, {"length", 13.0}}), "pack_nibbles", [](const bitwright::Tensor& part, const Upload&) { return std::vector<bitwright::Tensor>{part}; })[0];
  for (int64_t i = 0; i < 7; ++i) expect(packed.at(i) == static_cast<double>((2 * i + 3) % 16 * 16 + (i < 6 ? (2 * i + 4) % 16 : 0)), "byte " + std::to_string(i));
});

const Case odd_cases("blockwise: zeros, an odd count, NaN and infinity, a codebook out of order, a code without a value", [] {
  const Array zeros = array_of(DType::BF16, {1, 9}, [](int64_t) { return 0.0; });
  const std::vector<Array> coded = run_everywhere("blockwise_codes", {zeros, codebook()}, sizes(4, 1, 1));
  for (int64_t i = 0; i < 9; ++i) expect(coded[0].at(i) == 3, "the code of zero is " + std::to_string(coded[0].at(i)));
  const Array nibbles = run_everywhere("pack_nibbles", {coded[0]}, {})[0];
  expect(nibbles.spec.shape == Shape{5, 1} && nibbles.at(4) == 48 && nibbles.at(0) == 51, "nibbles of 9 codes");
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)})
    expect_refused("blockwise_codes", {array_of(DType::F32, {2, 8}, [&](int64_t i) { return i == 13 ? bad : 0.5; }), codebook()}, sizes(4, 1, 1), "begins with value 12");
  expect_refused("blockwise_codes", {zeros, array_of(DType::F32, {3}, [](int64_t i) { return static_cast<double>(-i); })}, sizes(4, 1, 1), "ascending");
  expect_refused("blockwise_codes", {zeros, codebook()}, sizes(0, 1, 1), "blocksize of 0");
  const Array codes = array_of(DType::U8, {4}, [](int64_t i) { return i == 2 ? 9.0 : 1.0; }), one = array_of(DType::F32, {1}, [](int64_t) { return 1.0; });
  expect_refused("blockwise_values", {codes, one, codebook(), none()}, sizes(4, 1, 4), "the code 9 stands for nothing");
  expect_refused("blockwise_values", {codes, one, codebook(), none()}, sizes(4, 1, 4, "I8"), "none of BF16");
});

}  // namespace
