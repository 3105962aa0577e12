// The running histogram against counts by hand, and HQQ's scales: never worse, and the error that is told is the one there is, in float64.
#include <algorithm>

#include "runner.h"

using namespace bitwright_test;

namespace {

const Case histogram_cases("histogram_accumulate: bins of a power of two around zero, the same whatever the order of batches; what is not finite is counted apart", [] {
  const int64_t n_half = 16;
  const Array small = array_of(DType::F32, {3, 5}, [](int64_t i) { return 0.01 * static_cast<double>(i - 7); });
  const Array large = array_of(DType::F32, {2, 4}, [](int64_t i) { return 1.3 * static_cast<double>(i - 3); });
  const Array zeros = array_of(DType::F32, {2, 2}, [](int64_t) { return 0.0; });
  const Array counts = array_of(DType::I64, {2 * n_half}, [](int64_t) { return 0.0; });
  const Array facts = array_of(DType::F64, {4}, [](int64_t i) { return i == 1 ? INFINITY : i == 2 ? -INFINITY : 0.0; });
  auto after = [&](const std::vector<Array>& batches) {
    std::vector<Array> state{counts, facts};
    for (const Array& batch : batches) state = run_everywhere("histogram_accumulate", {state[0], state[1], batch}, {}, 2);
    return state;
  };
  const std::vector<Array> forward = after({small, zeros, large}), backward = after({large, small, zeros});
  expect(forward[0].bytes == backward[0].bytes && forward[1].bytes == backward[1].bytes, "the order of batches shows");
  // 5.2 needs bins of 0.5: 16 of them reach to 8.
  expect(forward[1].at(0) == 0.5 && forward[1].at(1) == static_cast<float>(-3.9) && forward[1].at(2) == static_cast<float>(5.2), "facts: width " + std::to_string(forward[1].at(0)));
  std::vector<double> wanted(2 * n_half);
  for (const Array& batch : {small, zeros, large})
    for (int64_t i = 0; i < batch.spec.count(); ++i) wanted[static_cast<size_t>(std::floor(batch.at(i) / 0.5) + n_half)] += 1;
  expect_close(forward[0], wanted, 0);
  const std::vector<Array> nothing = after({zeros});
  expect(nothing[1].at(0) == 0 && nothing[0].at(n_half) == 4, "zeros alone have no width yet");
  const Array odd = array_of(DType::F32, {1, 4}, [](int64_t i) { return i == 1 ? NAN : i == 2 ? -INFINITY : 2.0; });
  const std::vector<Array> told = after({odd});
  expect(told[1].at(3) == 2 && told[1].at(2) == 2, "a NaN and an infinity");
});

double lp_error(const Array& weight, int64_t row, int64_t first, int64_t n, double scale, double zero, int bits, double p) {
  const double low = -std::ldexp(1.0, bits - 1), high = -low - 1;
  double sum = 0;
  for (int64_t c = first; c < first + n; ++c) {
    const double x = weight.at(row, c), code = std::nearbyint(std::clamp(x / scale + zero, low, high)), difference = std::fabs((code - zero) * scale - x);
    if (difference > 1e-12) sum += std::pow(difference, p);
  }
  return sum;
}

const Case hqq_cases("hqq_scales: never worse than it began, better where an outlier pulls, and what it says of itself is so", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const int bits : {2, 4}) {
      // Skewed cells with an outlier: the observer's scale serves the outlier.
      const Array plain = normal(DType::F32, {6, 32}, 91, 0.02);
      const Array weight = array_of(dtype, {6, 32}, [&](int64_t i) { return i % 16 == 3 ? 0.15 : plain.at(i) + 0.03; });
      Options all = options({{"num_bits", static_cast<double>(bits)}, {"symmetric", false}, {"strategy", std::string("group")}, {"group_size", 16.0}, {"observer", std::string("minmax")}, {"lp_norm", 0.7}, {"beta", 10.0}, {"kappa", 1.01}, {"iters", 20.0}});
      const std::vector<Array> observed = run_everywhere("weight_scales", {weight, none()}, all);
      const std::vector<Array> found = run_everywhere("hqq_scales", {weight, observed[0], observed[1]}, all);
      double before = 0, after = 0, n_moved = 0;
      for (int64_t i = 0; i < 12; ++i) {
        const double scale = observed[0].at(i), start = lp_error(weight, i / 2, i % 2 * 16, 16, scale, observed[1].at(i), bits, 0.7), end = lp_error(weight, i / 2, i % 2 * 16, 16, found[0].at(i), observed[1].at(i), bits, 0.7);
        if (dtype == DType::F32) expect(end <= start * (1 + 1e-5), "cell " + std::to_string(i) + ": " + std::to_string(end) + " after " + std::to_string(start));
        before += start;
        after += end;
        n_moved += found[0].at(i) != scale;
      }
      expect(found[1].at(0) == n_moved, "moved " + std::to_string(found[1].at(0)));
      expect(found[1].at(2) < found[1].at(1) && n_moved > 0, "nothing was gained: " + std::to_string(found[1].at(1)) + " to " + std::to_string(found[1].at(2)));
      if (dtype == DType::F32) expect(std::fabs(found[1].at(1) - before) < 1e-3 * before && std::fabs(found[1].at(2) - after) < 1e-3 * after, "sums " + std::to_string(found[1].at(1)) + " and " + std::to_string(found[1].at(2)));
    }
});

const Case odd_cells("hqq_scales: an all-zero row stays, a constant one is no worse, a NaN is told with its row, floats and whole tensors are refused", [] {
  Options all = options({{"num_bits", 4.0}, {"symmetric", false}, {"strategy", std::string("channel")}, {"observer", std::string("minmax")}});
  const Array weight = array_of(DType::F32, {3, 8}, [](int64_t i) { return i < 8 ? 0.0 : i < 16 ? 0.7 : -0.7; });
  const std::vector<Array> observed = run_everywhere("weight_scales", {weight, none()}, all), found = run_everywhere("hqq_scales", {weight, observed[0], observed[1]}, all);
  expect(found[0].at(0) == observed[0].at(0) && found[1].at(2) <= found[1].at(1), "a row of zeros has another scale");
  const Array poisoned = array_of(DType::F32, {3, 8}, [](int64_t i) { return i == 9 ? NAN : 0.5; });
  expect_refused("hqq_scales", {poisoned, observed[0], observed[1]}, all, "the error of row 1");
  all.set("type", std::string("float"));
  all.set("symmetric", true);
  expect_refused("hqq_scales", {weight, observed[0], observed[1]}, all, "HQQ is for integers");
  all.set("type", std::string("int"));
  all.set("strategy", std::string("tensor"));
  const Array one = array_of(DType::F32, {1}, [](int64_t) { return 0.1; }), none_moved = array_of(DType::I8, {1}, [](int64_t) { return 0.0; });
  expect_refused("hqq_scales", {weight, one, none_moved}, all, "per channel or per group");
});

}  // namespace
