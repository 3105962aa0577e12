// The search of ranges against a float64 search over every candidate, written from the formula: the error of what is answered is the smallest there is.
#include <algorithm>

#include "runner.h"

using namespace bitwright_test;

namespace {

struct Candidates {
  int n_steps;
  double grid, expand, norm;
};

/// Σ weight · |x̂ - x|^norm of integers of b bits under a symmetric scale.
double error_of(const std::vector<double>& x, const std::vector<double>& weights, double scale, int bits, double norm) {
  const double low = -std::ldexp(1.0, bits - 1), high = -low - 1;
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += weights[i] * std::pow(std::fabs(std::nearbyint(std::clamp(x[i] / scale, low, high)) * scale - x[i]), norm);
  return sum;
}

double scale_of(const std::vector<double>& x, int bits, double p) {
  double most = 0;
  for (double value : x) most = std::fmax(most, std::fabs(value));
  return most * p / ((std::ldexp(1.0, bits) - 1) / 2);
}

double least_error(const std::vector<double>& x, const std::vector<double>& weights, int bits, const Candidates& all) {
  double least = INFINITY;
  for (int i = 0; i < all.n_steps; ++i) {
    const double scale = scale_of(x, bits, all.expand * (1 - i / all.grid));
    if (scale > 0) least = std::fmin(least, error_of(x, weights, scale, bits, all.norm));
  }
  return least;
}

Options search(const std::string& observer, int bits, const std::string& strategy, double group_size, const Candidates& all, double maxshrink) {
  return options({{"num_bits", static_cast<double>(bits)}, {"symmetric", true}, {"strategy", strategy}, {"group_size", group_size}, {"observer", observer}, {"maxshrink", maxshrink}, {"grid", all.grid}, {"expand", all.expand}, {"norm", all.norm}, {"patience", 1000.0}});
}

const Case scale_cases("search_scales finds the least error of all candidates, with and without importance, per group and per channel", [] {
  const Array weight = normal(DType::F32, {7, 64}, 81), importance = array_of(DType::F32, {64}, [](int64_t i) { return i == 5 ? 0.0 : i == 9 ? 40.0 : 1.0 + static_cast<double>(i % 7); });
  for (const bool is_weighed : {true, false})
    for (const int64_t group : {16, 64}) {
      // int(0.75 · 40) = 30 steps, and one more of imatrix.
      const Candidates all{31, 40, 1.25, 3};
      const Options wanted = search("imatrix", 3, group == 64 ? "channel" : "group", static_cast<double>(group), all, 0.75);
      const Array scales = run_everywhere("search_scales", {weight, none(), is_weighed ? importance : none()}, wanted)[0];
      for (int64_t row = 0; row < 7; ++row)
        for (int64_t g = 0; g < 64 / group; ++g) {
          std::vector<double> x, weights;
          for (int64_t c = g * group; c < (g + 1) * group; ++c) {
            x.push_back(weight.at(row, c));
            weights.push_back(is_weighed ? importance.at(c) : 1);
          }
          const double found = error_of(x, weights, scales.at(row * (64 / group) + g), 3, 3), least = least_error(x, weights, 3, all);
          expect(found <= least * (1 + 1e-4), "row " + std::to_string(row) + ": error " + std::to_string(found) + " where " + std::to_string(least) + " can be had");
        }
    }
});

const Case importance_cases("importance counts up to a common factor; what is no importance is refused; an order of columns takes it along", [] {
  const Array weight = normal(DType::F32, {3, 32}, 82), importance = array_of(DType::F32, {32}, [](int64_t i) { return 1.0 + static_cast<double>(i % 5); });
  const Options wanted = search("imatrix", 4, "group", 8, {20, 20, 1, 3}, 0.95);
  const Array larger = array_of(DType::F32, {32}, [&](int64_t i) { return 4 * importance.at(i); });
  const std::vector<Array> once = run_everywhere("search_scales", {weight, none(), importance}, wanted);
  expect(once[0].bytes == run("search_scales", {weight, none(), larger}, wanted, 1)[0].bytes, "a factor changed the scales");
  std::vector<int32_t> order;
  for (int32_t i = 0; i < 32; ++i) order.push_back(i * 5 % 32);
  const Array permuted = array_of(DType::F32, {3, 32}, [&](int64_t i) { return weight.at(i / 32, order[static_cast<size_t>(i % 32)]); });
  const Array along = array_of(DType::F32, {32}, [&](int64_t i) { return importance.at(order[static_cast<size_t>(i)]); });
  expect(run("search_scales", {weight, ints({32}, order), importance}, wanted, 1)[0].bytes == run("search_scales", {permuted, none(), along}, wanted, 1)[0].bytes, "an order of columns");
  for (const double value : {-1.0, double{NAN}, double{INFINITY}})
    expect_refused("search_scales", {weight, none(), array_of(DType::F32, {32}, [&](int64_t i) { return i == 4 ? value : 1.0; })}, wanted, "the importance of column 4");
  expect_refused("search_scales", {array_of(DType::F32, {3, 32}, [](int64_t i) { return i == 70 ? NAN : 1.0; }), none(), importance}, wanted, "NaN or infinite in row 2");
  // All-zero rows and importance of zero: the epsilon, and the extremes.
  const std::vector<Array> zero = run_everywhere("search_scales", {array_of(DType::F32, {1, 32}, [](int64_t) { return 0.0; }), none(), array_of(DType::F32, {32}, [](int64_t) { return 0.0; })}, wanted);
  expect(zero[0].at(0) == 1.1920928955078125e-7, "scale of zeros " + std::to_string(zero[0].at(0)));
});

const Case diagonal_cases("hessian_diagonal is the diagonal", [] {
  const Array H = normal(DType::F32, {33, 33}, 83);
  std::vector<double> reference;
  for (int64_t i = 0; i < 33; ++i) reference.push_back(H.at(i, i));
  expect_close(run_everywhere("hessian_diagonal", {H}, {})[0], reference, 0);
});

const Case activation_cases("activation_ranges: extremes and searched ranges of all inputs and of groups of columns", [] {
  const Array x = normal(DType::F32, {11, 48}, 84);
  for (const int64_t group : {0, 16}) {
    const int64_t size = group == 0 ? 48 : group, n = 48 / size;
    const Candidates all{20, 100, 1, 2.4};
    const Array plain = run_everywhere("activation_ranges", {x}, search("minmax", 4, "", static_cast<double>(group), all, 0.2))[0];
    const Array searched = run_everywhere("activation_ranges", {x}, search("mse", 4, "", static_cast<double>(group), all, 0.2))[0];
    for (int64_t g = 0; g < n; ++g) {
      std::vector<double> values;
      for (int64_t t = 0; t < 11; ++t)
        for (int64_t c = g * size; c < (g + 1) * size; ++c) values.push_back(x.at(t, c));
      expect(plain.at(g) == *std::min_element(values.begin(), values.end()) && plain.at(n + g) == *std::max_element(values.begin(), values.end()), "extremes");
      const std::vector<double> alike(values.size(), 1);
      const double scale = std::fmax(-searched.at(g), searched.at(n + g)) / 7.5, found = error_of(values, alike, scale, 4, 2.4), least = least_error(values, alike, 4, all);
      expect(found <= least * (1 + 1e-4), "group " + std::to_string(g) + ": error " + std::to_string(found) + " where " + std::to_string(least) + " can be had");
    }
  }
  const Array poisoned = array_of(DType::F32, {3, 48}, [](int64_t i) { return i == 100 ? INFINITY : 1.0; });
  const Array answered = run_everywhere("activation_ranges", {poisoned}, search("mse", 4, "", 16, {20, 100, 1, 2.4}, 0.2))[0];
  for (int64_t i = 0; i < 6; ++i) expect(std::isnan(answered.at(i)), "the infinity was lost");
});

}  // namespace
