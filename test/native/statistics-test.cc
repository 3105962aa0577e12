// Observers, SmoothQuant and metrics against float64 references.
#include <algorithm>
#include <tuple>

#include "runner.h"

using namespace bitwright_test;

namespace {

const Case hessian_cases("hessian_accumulate: decay · H + weight · xᵀx, both triangles, over several tiles", [] {
  for (const Shape& shape : {Shape{1, 1}, Shape{65, 7}, Shape{300, 520}}) {
    const int64_t T = shape[0], I = shape[1];
    const Array x = normal(DType::F32, shape, 51), start = normal(DType::F32, {I, I}, 52);
    const Array symmetric = array_of(DType::F32, {I, I}, [&](int64_t i) { return start.at(i / I, i % I) + start.at(i % I, i / I); });
    std::vector<double> reference;
    for (int64_t i = 0; i < I; ++i)
      for (int64_t j = 0; j < I; ++j) {
        double sum = 0.5 * symmetric.at(i, j);
        for (int64_t t = 0; t < T; ++t) sum += 2 * x.at(t, i) * x.at(t, j);
        reference.push_back(sum);
      }
    expect_close(run_everywhere("hessian_accumulate", {symmetric, x}, options({{"decay", 0.5}, {"weight", 2.0}}), 1)[0], reference, 1e-5);
  }
});

const Case weighted_cases("weighted_accumulate: decay · sum + weight · x, each step rounded", [] {
  for (const Shape& shape : {Shape{1}, Shape{65, 7}, Shape{300, 520}}) {
    const Array sum = normal(DType::F32, shape, 57), x = normal(DType::F32, shape, 58);
    std::vector<double> reference;
    for (int64_t i = 0; i < sum.spec.count(); ++i) {
      const float kept = 0.3f * static_cast<float>(sum.at(i)), added = 0.7f * static_cast<float>(x.at(i));
      reference.push_back(kept + added);
    }
    expect_close(run_everywhere("weighted_accumulate", {sum, x}, options({{"decay", 0.3}, {"weight", 0.7}}), 1)[0], reference, 0);
  }
});

const Case moment_cases("column_moments_accumulate: four power sums and the largest magnitude of every column, added to what was there", [] {
  for (const int64_t T : {37, 1100}) {
    const int64_t I = 130;
    const Array x = normal(DType::F32, {T, I}, 61, 3);
    const Array before = array_of(DType::F64, {5, I}, [](int64_t i) { return static_cast<double>(i % 7); });
    std::vector<double> reference;
    for (int64_t power = 1; power <= 5; ++power)
      for (int64_t i = 0; i < I; ++i) {
        double sum = before.at(power - 1, i);
        for (int64_t t = 0; t < T; ++t) sum = power == 5 ? std::fmax(sum, std::fabs(x.at(t, i))) : sum + std::pow(x.at(t, i), static_cast<double>(power));
        reference.push_back(sum);
      }
    expect_close(run_everywhere("column_moments_accumulate", {before, x}, {}, 1)[0], reference, 1e-12);
  }
  const Array nothing = array_of(DType::F64, {5, 2}, [](int64_t) { return 0.0; }), poisoned = array_of(DType::F32, {600, 2}, [](int64_t i) { return i == 801 ? NAN : 1.0; });
  const Array found = run_everywhere("column_moments_accumulate", {nothing, poisoned}, {}, 1)[0];
  expect(found.at(4, 0) == 1 && std::isnan(found.at(4, 1)), "the NaN was lost");
});

const Case range_cases("ranges are those of all columns, and a NaN stays visible", [] {
  const Array x = normal(DType::F32, {65, 37}, 53);
  const Array begin = array_of(DType::F32, {2, 37}, [](int64_t i) { return i < 37 ? INFINITY : -INFINITY; });
  std::vector<double> reference(74);
  double low = INFINITY, high = -INFINITY;
  for (int64_t c = 0; c < 37; ++c) {
    reference[static_cast<size_t>(c)] = INFINITY;
    reference[static_cast<size_t>(37 + c)] = -INFINITY;
    for (int64_t t = 0; t < 65; ++t) {
      reference[static_cast<size_t>(c)] = std::fmin(reference[static_cast<size_t>(c)], x.at(t, c));
      reference[static_cast<size_t>(37 + c)] = std::fmax(reference[static_cast<size_t>(37 + c)], x.at(t, c));
      low = std::fmin(low, x.at(t, c));
      high = std::fmax(high, x.at(t, c));
    }
  }
  expect_close(run_everywhere("column_range_accumulate", {begin, x}, {}, 1)[0], reference, 0);
  const Array whole = array_of(DType::F32, {2}, [](int64_t i) { return i == 0 ? INFINITY : -INFINITY; });
  expect_close(run_everywhere("range_accumulate", {whole, x}, {}, 1)[0], {low, high}, 0);
  const Array poisoned = array_of(DType::F32, {2, 20}, [](int64_t i) { return i == 25 ? NAN : 1.0; });
  expect(std::isnan(run_everywhere("range_accumulate", {whole, poisoned}, {}, 1)[0].at(1)), "the NaN was lost");
  expect_refused("activation_scale", {run("range_accumulate", {whole, poisoned}, {}, 1, 1)[0]}, options({{"num_bits", 8.0}, {"symmetric", true}, {"scale_dtype", std::string("F32")}}), "calibrated range");
});

const Case scale_cases("activation_scale follows the grid: symmetric absmax / 127.5, asymmetric with a zero point", [] {
  const Array range = array_of(DType::F32, {2}, [](int64_t i) { return i == 0 ? -1.0 : 2.0; });
  const Options symmetric = options({{"num_bits", 8.0}, {"symmetric", true}, {"scale_dtype", std::string("F32")}});
  expect_close(run_everywhere("activation_scale", {range}, symmetric)[0], {2 / 127.5}, 1e-7);
  const Options asymmetric = options({{"num_bits", 8.0}, {"symmetric", false}, {"scale_dtype", std::string("F32")}});
  const std::vector<Array> result = run_everywhere("activation_scale", {range}, asymmetric);
  expect_close(result[0], {3.0 / 255}, 1e-7);
  expect(result[1].at(0) == -43, "zero point " + std::to_string(result[1].at(0)));
});

const Case smooth_cases("smoothquant_scales: a^alpha / w^(1 - alpha), a where the weights are 0, never below 1e-5", [] {
  const Array ranges = array_of(DType::F32, {2, 3}, [](int64_t i) { return i < 3 ? -1.0 * static_cast<double>(i) : static_cast<double>(i); });
  const Array absmax = array_of(DType::F32, {3}, [](int64_t i) { return i == 1 ? 0.0 : 0.5; });
  // ranges: 3 - 0, 4 + 1, 5 + 2; w = 2 · absmax = 1, 0, 1
  const Options all = options({{"smoothing_strength", 0.8}, {"algorithm", std::string("smoothquant")}});
  expect_close(run_everywhere("smoothquant_scales", {ranges, absmax}, all)[0], {std::pow(3.0, 0.8), 5.0, std::pow(7.0, 0.8)}, 1e-6);
  const Options logarithmic = options({{"smoothing_strength", 0.8}, {"algorithm", std::string("log_equalization")}});
  expect_close(run_everywhere("smoothquant_scales", {ranges, absmax}, logarithmic)[0], {3 / std::log2(5.0), 5 / std::log2(7.0), 7 / std::log2(9.0)}, 1e-6);
});

const Case apply_cases("multiply_columns and divide_rows undo each other's effect on a product, in every dtype", [] {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const double unit = dtype == DType::BF16 ? 1.0 / 256 : dtype == DType::F16 ? 1.0 / 2048 : 1e-7;
    const Array weight = normal(dtype, {9, 5}, 54), s = array_of(DType::F32, {5}, [](int64_t i) { return 0.5 + 0.3 * static_cast<double>(i); });
    std::vector<double> scaled;
    for (int64_t i = 0; i < 45; ++i) scaled.push_back(weight.at(i) * s.at(i % 5));
    expect_close(run_everywhere("multiply_columns", {weight, s}, {})[0], scaled, unit);
    const Array norm = normal(dtype, {5}, 55);
    std::vector<double> divided;
    for (int64_t i = 0; i < 5; ++i) divided.push_back(norm.at(i) / s.at(i));
    expect_close(run_everywhere("divide_rows", {norm, s}, {})[0], divided, unit);
  }
});

const Case awq_sum_cases("AWQ's sums: |x| per column, and |W| over the maximum of its cell, rounded to the dtype of the weight", [] {
  const Array x = normal(DType::F32, {70, 530}, 61), start = array_of(DType::F64, {530}, [](int64_t i) { return static_cast<double>(i); });
  std::vector<double> sums;
  for (int64_t c = 0; c < 530; ++c) {
    double sum = static_cast<double>(c);
    for (int64_t t = 0; t < 70; ++t) sum += std::fabs(x.at(t, c));
    sums.push_back(sum);
  }
  expect_close(run_everywhere("column_abs_sum_accumulate", {start, x}, {}, 1)[0], sums, 1e-14);
  const Array zero = array_of(DType::F64, {12}, [](int64_t) { return 0.0; });
  for (DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const double unit = dtype == DType::BF16 ? 1.0 / 128 : dtype == DType::F16 ? 1.0 / 1024 : 1e-6;
    const Array weight = normal(dtype, {70, 12}, 62);
    for (const auto& [strategy, size, rows] : {std::tuple{"tensor", 12, 70}, {"channel", 12, 1}, {"group", 4, 1}}) {
      std::vector<double> reference(12);
      for (int64_t r = 0; r < 70; ++r)
        for (int64_t c = 0; c < 12; ++c) {
          double most = 0;
          for (int64_t row = rows == 1 ? r : 0; row < (rows == 1 ? r + 1 : 70); ++row)
            for (int64_t k = c / size * size; k < (c / size + 1) * size; ++k) most = std::fmax(most, std::fabs(weight.at(row, k)));
          reference[static_cast<size_t>(c)] += std::fabs(weight.at(r, c)) / (most + 1e-6);
        }
      expect_close(run_everywhere("awq_weight_sum_accumulate", {zero, weight}, options({{"strategy", std::string(strategy)}, {"group_size", static_cast<double>(size)}}), 1)[0], reference, unit);
    }
  }
});

const Case awq_scale_cases("awq_scales: x^ratio, over w^(1 - ratio) with weights, at least 1e-4, its extremes in the middle; columns are divided", [] {
  const double x[] = {4.0, 0.25, 0.0, 1.0}, w[] = {0.5, 0.0, 0.25, 1.0};
  const Array x_sum = array_of(DType::F64, {4}, [&](int64_t i) { return 10 * x[i]; }), w_sum = array_of(DType::F64, {4}, [&](int64_t i) { return 8 * w[i]; });
  for (const double ratio : {0.0, 0.5, 1.0})
    for (const bool duo : {false, true}) {
      std::vector<double> s;
      for (int i = 0; i < 4; ++i) s.push_back(std::fmax(1e-4, std::pow(x[i], ratio) / (duo ? std::pow(w[i], 1 - ratio) + 1e-4 : 1)));
      const double middle = std::sqrt(*std::max_element(s.begin(), s.end()) * *std::min_element(s.begin(), s.end()));
      for (double& value : s) value /= middle;
      const Array result = run_everywhere("awq_scales", {x_sum, duo ? w_sum : none()}, options({{"n_tokens", 10.0}, {"n_rows", 8.0}, {"ratio", ratio}}))[0];
      for (int i = 0; i < 4; ++i) expect(std::fabs(result.at(i) / s[static_cast<size_t>(i)] - 1) < 1e-6, "scale " + std::to_string(i) + " is " + std::to_string(result.at(i)));
    }
  // All inputs zero: every scale is the least one, so that their middle is 1.
  const Array nothing = array_of(DType::F64, {3}, [](int64_t) { return 0.0; });
  expect_close(run_everywhere("awq_scales", {nothing, none()}, options({{"n_tokens", 10.0}, {"ratio", 0.5}}))[0], {1, 1, 1}, 1e-7);
  const Array a = normal(DType::F32, {300, 129}, 64), b = normal(DType::F32, {300, 129}, 65);
  double error = 2;
  for (int64_t i = 0; i < 300 * 129; ++i) error += (a.at(i) - b.at(i)) * (a.at(i) - b.at(i));
  expect_close(run_everywhere("squared_error_accumulate", {array_of(DType::F64, {1}, [](int64_t) { return 2.0; }), a, b}, {}, 1)[0], {error}, 1e-13);
  const Array weight = normal(DType::BF16, {70, 5}, 63), s = array_of(DType::F32, {5}, [](int64_t i) { return 0.5 + 0.3 * static_cast<double>(i); });
  std::vector<double> divided;
  for (int64_t i = 0; i < 350; ++i) divided.push_back(weight.at(i) / s.at(i % 5));
  expect_close(run_everywhere("divide_columns", {weight, s}, {})[0], divided, 1.0 / 256);
});

const Case compare_cases("compare gives sums over many chunks", [] {
  const Array a = normal(DType::F32, {300, 129}, 56), b = normal(DType::BF16, {300, 129}, 57);
  std::vector<double> reference(6);
  for (int64_t i = 0; i < a.spec.count(); ++i) {
    const double x = a.at(i), y = b.at(i);
    reference[0] += x * x, reference[1] += y * y, reference[2] += (x - y) * (x - y), reference[3] += x * y;
    reference[4] = std::fmax(reference[4], std::fabs(x - y)), reference[5] = std::fmax(reference[5], std::fabs(x));
  }
  expect_close(run_everywhere("compare", {a, b}, {})[0], reference, 1e-12);
});

const Case error_cases("hessian_error is the quadratic form of the difference and of the weight", [] {
  const Array W = normal(DType::F32, {3, 17}, 58), V = normal(DType::BF16, {3, 17}, 59), x = normal(DType::F32, {40, 17}, 60);
  const Array zero = array_of(DType::F32, {17, 17}, [](int64_t) { return 0.0; });
  const Array H = run("hessian_accumulate", {zero, x}, options({{"decay", 1.0}, {"weight", 1.0}}), 1, 1)[0];
  std::vector<double> reference(2);
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t t = 0; t < 40; ++t) {
      double error = 0, output = 0;
      for (int64_t c = 0; c < 17; ++c) error += (W.at(r, c) - V.at(r, c)) * x.at(t, c), output += W.at(r, c) * x.at(t, c);
      reference[0] += error * error, reference[1] += output * output;
    }
  expect_close(run_everywhere("hessian_error", {W, V, H}, {})[0], reference, 1e-5);
});

const Case histogram_cases("histogram counts every finite value once; summary names the first that is not", [] {
  const Array x = array_of(DType::F32, {1, 100003}, [](int64_t i) { return i == 70000 ? NAN : i == 70001 ? INFINITY : static_cast<double>(i % 1000); });
  const Array counts = run_everywhere("histogram", {x}, options({{"min", 100.0}, {"max", 900.0}, {"n_bins", 8.0}}))[0];
  double total = 0;
  for (int64_t i = 0; i < 10; ++i) total += counts.at(i);
  expect(total == 100002, "the counts add up to " + std::to_string(total));
  // 101 runs begin at 0 … 99 (the last has 3 values); the values 0 and 1 at 70000 and 70001 are not finite numbers below 100.
  expect(counts.at(8) == 100 * 100 + 3 - 2, "below: " + std::to_string(counts.at(8)));
  expect(counts.at(9) == 100 * 99 + 1, "above: " + std::to_string(counts.at(9)));
  for (const auto& [min, max] : {std::pair{0.0, 0.0}, {1.0, 0.0}, {0.0, 1e-310}, {-1e308, 1e308}, {0.0, static_cast<double>(INFINITY)}, {static_cast<double>(NAN), 1.0}})
    expect_refused("histogram", {x}, options({{"min", min}, {"max", max}, {"n_bins", 8.0}}), "neither empty, nor infinite, nor too narrow");
  const Array all = run_everywhere("summary", {x}, {})[0];
  expect(all.at(0) == 100003 && all.at(1) == 1 && all.at(2) == 1 && all.at(3) == 0 && all.at(4) == 999 && all.at(8) == 70000, "summary");
});

}  // namespace
