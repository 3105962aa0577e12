// Beacon: its start against the paper's words, its sweeps against every single change and against all codes, and inputs that break its assumptions.
#include <algorithm>

#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

Options beacon_options(int num_bits, bool symmetric, int n_sweeps, const std::string& strategy = "channel", int64_t group_size = 0) {
  Options all = grid_options(num_bits, symmetric, strategy, group_size);
  all.set("n_sweeps", static_cast<double>(n_sweeps));
  all.set("centering", true);
  return all;
}

/// codes, scale, zero point, objective.
std::vector<Array> beacon(const Array& weight, const Array& H, const Options& all, const Array& codes = none()) {
  const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
  Options damping = all;
  damping.set("dampening_frac", 0.01);
  const Array factor = all.text("strategy") == "group" ? run("gptq_factor", {H, none()}, damping, 1)[0] : none();
  return run_everywhere("quantize_beacon", {weight, H, factor, scales[0], scales[1], none(), codes}, all);
}

/// ⟨Xw, Xa⟩² / ‖Xa‖², negative where the angle is wide.
double explained(const std::vector<double>& w, const std::vector<double>& a, const Array& H) {
  double alpha = 0, beta = 0;
  for (size_t i = 0; i < w.size(); ++i)
    for (size_t j = 0; j < w.size(); ++j) {
      const double h = H.at(static_cast<int64_t>(i), static_cast<int64_t>(j));
      alpha += w[i] * h * a[j];
      beta += a[i] * h * a[j];
    }
  return beta > 0 ? alpha * std::fabs(alpha) / beta : 0;
}

std::vector<double> row_of(const Array& matrix, int64_t row, double minus = 0) {
  std::vector<double> values;
  for (int64_t c = 0; c < matrix.spec.shape[1]; ++c) values.push_back(matrix.at(row, c) - minus);
  return values;
}

const Case start_cases("Beacon's start is the greedy choice over the whole grid, column by column", [] {
  for (const auto& [n, num_bits] : {std::pair{24, 2}, {40, 3}, {150, 4}}) {
    const Array weight = normal(DType::F32, {19, n}, 51), x = tokens_of(n, 4 * n, 52, 0.1), H = gram(x, x);
    const Options all = beacon_options(num_bits, true, 0);
    const Array codes = beacon(weight, H, all)[0], scale = run("weight_scales", {weight, none()}, all, 1)[0];
    const int lowest = -(1 << (num_bits - 1)), highest = -lowest - 1;
    int64_t n_different = 0;
    for (int64_t r = 0; r < 19; ++r) {
      std::vector<double> a(static_cast<size_t>(n), 0.0);
      bool begun = false;
      for (int64_t t = 0; t < n; ++t) {
        double best = -1e300, code = 0;
        if (!begun) code = std::nearbyint(std::clamp(weight.at(r, t) / scale.at(r), double(lowest), double(highest)));
        // Inner products of the first t + 1 columns.
        for (int p = lowest; begun && p <= highest; ++p) {
          double alpha = 0, beta = 0;
          for (int64_t i = 0; i <= t; ++i)
            for (int64_t j = 0; j <= t; ++j) {
              const double ai = i == t ? p : a[static_cast<size_t>(i)], aj = j == t ? p : a[static_cast<size_t>(j)];
              alpha += weight.at(r, i) * H.at(i, j) * aj;
              beta += ai * H.at(i, j) * aj;
            }
          const double value = beta > 0 ? alpha / std::sqrt(beta) : -1e299;
          if (value > best) {
            best = value;
            code = p;
          }
        }
        // The path of the tested codes is followed, so that one close decision is counted once.
        n_different += code != codes.at(r, t);
        a[static_cast<size_t>(t)] = codes.at(r, t);
        begun |= codes.at(r, t) != 0;
      }
    }
    expect(n_different * 1000 <= 19 * n, std::to_string(n_different) + " of " + std::to_string(19 * n) + " codes are not the best of their column");
    if (n == 150) break;
  }
});

const Case sweep_cases("Beacon's objective never decreases over sweeps and is that of its codes; the scale is that of the projection", [] {
  for (const auto& [num_bits, symmetric] : {std::pair{2, true}, {2, false}, {3, true}, {4, false}, {8, true}})
    for (const int64_t group_size : {0, 48}) {
      const int64_t n = 144, O = 37;
      const Array weight = normal(DType::BF16, {O, n}, 53), x = tokens_of(n, 200, 54), H = gram(x, x);
      const std::vector<Array> result = beacon(weight, H, beacon_options(num_bits, symmetric, 6, group_size == 0 ? "channel" : "group", group_size));
      for (int64_t r = 0; r < O; ++r) {
        for (int64_t k = 1; k <= 6; ++k) expect(result[3].at(r, k) >= result[3].at(r, k - 1) * (1 - 1e-6), "row " + std::to_string(r) + " explains less after sweep " + std::to_string(k));
        if (group_size != 0) continue;
        const std::vector<double> w = row_of(weight, r), a = row_of(result[0], r, result[2].at(r));
        const double value = explained(w, a, H);
        expect(std::fabs(result[3].at(r, 6) - value) <= 1e-4 * value, "objective " + std::to_string(result[3].at(r, 6)) + " of codes that give " + std::to_string(value));
        double alpha = 0, beta = 0;
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < n; ++j) {
            alpha += w[static_cast<size_t>(i)] * H.at(i, j) * a[static_cast<size_t>(j)];
            beta += a[static_cast<size_t>(i)] * H.at(i, j) * a[static_cast<size_t>(j)];
          }
        expect(std::fabs(result[1].at(r) - alpha / beta) <= 0.005 * alpha / beta, "scale " + std::to_string(result[1].at(r)) + ", projection " + std::to_string(alpha / beta));
      }
    }
});

/// What the paper claims is a point that no single change improves, found from a good start; whether it is the best of all codes is seen here.
/// bench/quality/results.md has the shares; of the asymmetric grid all zero points count, of which the sweeps move one at a time.
const Case brute_cases("Beacon against all codes: never better, no single change improves it, and mostly the best", [] {
  for (const bool symmetric : {true, false}) {
    int n_best = 0, n_rows = 0;
    double lost = 0;
    for (uint32_t seed = 0; seed < 6; ++seed)
      for (const int64_t n : {3, 5, 6}) {
        const Array weight = normal(DType::F32, {10, n}, 60 + seed), x = tokens_of(n, 40, 70 + seed, 0.2), H = gram(x, x);
        const std::vector<Array> result = beacon(weight, H, beacon_options(2, symmetric, 20));
        for (int64_t r = 0; r < 10; ++r) {
          const double zero_point = result[2].at(r);
          const std::vector<double> w = row_of(weight, r), found = row_of(result[0], r, zero_point);
          const double mine = explained(w, found, H);
          double best = 0;
          std::vector<double> a(static_cast<size_t>(n));
          for (double z = symmetric ? 0 : -2; z <= (symmetric ? 0 : 1); ++z)
            for (int64_t index = 0; index < int64_t{1} << (2 * n); ++index) {
              for (int64_t t = 0; t < n; ++t) a[static_cast<size_t>(t)] = static_cast<double>((index >> (2 * t)) % 4) - 2 - z;
              best = std::max(best, explained(w, a, H));
            }
          expect(mine <= best * (1 + 1e-9), "better than the best");
          for (int64_t t = 0; t < n; ++t)
            for (int p = -2; p <= 1; ++p) {
              std::vector<double> changed = found;
              changed[static_cast<size_t>(t)] = p - zero_point;
              expect(explained(w, changed, H) <= mine * (1 + 1e-5), "code " + std::to_string(p) + " in column " + std::to_string(t) + " is better");
            }
          n_best += mine >= best * (1 - 1e-6);
          lost += 1 - mine / best;
          ++n_rows;
        }
      }
    const std::string text = std::string(symmetric ? "symmetric" : "asymmetric") + ": " + std::to_string(n_best) + " of " + std::to_string(n_rows) + " rows are the best of all codes, " + std::to_string(100 * lost / n_rows) + " % of the objective lost on average";
    expect(n_best * 100 >= n_rows * (symmetric ? 85 : 68) && lost / n_rows < (symmetric ? 0.005 : 0.01), text);
  }
});

double output_error(const Array& weight, const Array& codes, const Array& scale, const Array& zero_point, const Array& H, const Options& all) {
  return run("hessian_error", {weight, run("dequantize", {codes, scale, zero_point, none()}, all, 1)[0], H}, {}, 1)[0].at(0);
}

const Case order_cases("output error at 2 and 3 bits: Beacon below GPTQ below round to nearest, per channel and per group", [] {
  for (const int num_bits : {2, 3})
    for (const int64_t group_size : {0, 32}) {
      const Array weight = normal(DType::BF16, {48, 128}, 55), x = tokens_of(128, 500, 56), H = gram(x, x);
      const Options all = beacon_options(num_bits, true, 4, group_size == 0 ? "channel" : "group", group_size);
      const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1), found = beacon(weight, H, all);
      const Array R = run("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}), 1)[0];
      const Array nearest = run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0], gptq = run("quantize_gptq", {weight, R, scales[0], scales[1], none(), none(), none()}, all, 1)[0];
      const double rounded = output_error(weight, nearest, scales[0], scales[1], H, all), solved = output_error(weight, gptq, scales[0], scales[1], H, all), own = output_error(weight, found[0], found[1], found[2], H, all);
      const std::string text = std::to_string(num_bits) + " bits, group " + std::to_string(group_size) + ": " + std::to_string(own) + ", GPTQ " + std::to_string(solved) + ", round to nearest " + std::to_string(rounded);
      expect(own < 0.95 * solved && solved < rounded, text);
      // A second start, from GPTQ's codes at the scale that was found, is never worse than those codes.
      if (group_size != 0) continue;
      const Array second = run("quantize_gptq", {weight, R, found[1], found[2], none(), none(), none()}, all, 1)[0];
      const std::vector<Array> again = run_everywhere("quantize_beacon", {weight, H, none(), found[1], found[2], none(), second}, all);
      const double before = output_error(weight, second, found[1], found[2], H, all), after = output_error(weight, again[0], again[1], again[2], H, all);
      expect(after <= before * 1.0001, text + "; from GPTQ's codes " + std::to_string(before) + " to " + std::to_string(after));
    }
});

/// What is left at 8 bits is a hundred-thousandth of the output, and of that every column has its share: decisions and objective must see it.
const Case fine_cases("at 8 bits a start from GPTQ's codes at the observer's scale ends below their output error, and no single code up or down improves it", [] {
  for (const bool symmetric : {true, false}) {
    const int64_t n = 96, O = 24;
    const Array weight = normal(DType::F32, {O, n}, 80), x = tokens_of(n, 600, 81, 0.1), H = gram(x, x);
    const Options all = beacon_options(8, symmetric, 12);
    const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
    const Array R = run("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}), 1)[0], gptq = run("quantize_gptq", {weight, R, scales[0], scales[1], none(), none(), none()}, all, 1)[0];
    const std::vector<Array> found = run_everywhere("quantize_beacon", {weight, H, none(), scales[0], scales[1], none(), gptq}, all);
    const double before = output_error(weight, gptq, scales[0], scales[1], H, all), after = output_error(weight, found[0], found[1], found[2], H, all);
    expect(after < 0.97 * before, "from " + std::to_string(before) + " to " + std::to_string(after));
    for (int64_t r = 0; r < O; ++r) {
      const std::vector<double> w = row_of(weight, r), a = row_of(found[0], r, found[2].at(r));
      double whole = 0;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) whole += w[static_cast<size_t>(i)] * H.at(i, j) * w[static_cast<size_t>(j)];
      const double left = whole - explained(w, a, H), told = whole - found[3].at(r, 12);
      expect(std::fabs(told - left) <= 0.01 * left, "row " + std::to_string(r) + ": the objective leaves " + std::to_string(told) + ", its codes " + std::to_string(left));
      for (int64_t k = 1; k <= 12; ++k) expect(found[3].at(r, k) >= found[3].at(r, k - 1) - 1e-3 * left, "row " + std::to_string(r) + " explains less after sweep " + std::to_string(k));
      for (int64_t t = 0; t < n; ++t)
        for (const double d : {-1.0, 1.0}) {
          std::vector<double> changed = a;
          changed[static_cast<size_t>(t)] += d;
          const double code = changed[static_cast<size_t>(t)] + found[2].at(r);
          if (code >= -128 && code <= 127) expect(whole - explained(w, changed, H) >= left * (1 - 1e-4), "a code in column " + std::to_string(t) + " of row " + std::to_string(r) + " can be improved");
        }
    }
  }
});

const Case odd_cases("Beacon with dead inputs, one token, a row of zeros, a constant channel, and values that are not finite", [] {
  for (const bool symmetric : {true, false}) {
    const int64_t n = 40;
    Array weight = normal(DType::F32, {5, n}, 57), x = tokens_of(n, 100, 58);
    weight = array_of(DType::F32, {5, n}, [&](int64_t i) { return i / n == 2 ? 0.0 : i / n == 3 ? 0.25 : weight.at(i); });
    const Array with_dead = array_of(DType::F32, {100, n}, [&](int64_t i) { return i % n == 7 ? 0.0 : x.at(i); }), one = array_of(DType::F32, {1, n}, [&](int64_t i) { return x.at(i); });
    const Options all = beacon_options(3, symmetric, 4);
    const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
    for (const Array& tokens : {with_dead, one}) {
      const Array H = gram(tokens, tokens), dead = run("dead_columns", {H}, {}, 1)[0];
      const std::vector<Array> result = run_everywhere("quantize_beacon", {weight, H, none(), scales[0], scales[1], dead, none()}, all);
      for (int64_t r = 0; r < 5; ++r) {
        expect(result[1].at(r) > 0 && std::isfinite(result[1].at(r)), "scale of row " + std::to_string(r));
        for (int64_t c = 0; c < n; ++c) {
          expect(result[0].at(r, c) >= -4 && result[0].at(r, c) <= 3, "a code outside of the grid");
          if (r == 2 || dead.at(c) != 0) expect(result[0].at(r, c) == result[2].at(r), "a weight that is zero or never used is not zero");
        }
      }
    }
    for (const double value : {NAN, INFINITY}) {
      const Array poisoned = array_of(DType::F32, {5, n}, [&](int64_t i) { return i == n + 3 ? value : weight.at(i); }), H = gram(x, x);
      expect_refused("quantize_beacon", {poisoned, H, none(), scales[0], scales[1], none(), none()}, all, "the objective of row 1");
      const Array poisoned_H = array_of(DType::F32, {n, n}, [&](int64_t i) { return i == 3 * (n + 1) ? value : H.at(i); });
      expect_refused("quantize_beacon", {weight, poisoned_H, none(), scales[0], scales[1], none(), none()}, all, "diag(H) at column 3");
    }
  }
  const Array weight = normal(DType::F32, {2, 8}, 59), H = array_of(DType::F32, {8, 8}, [](int64_t i) { return i % 9 == 0; }), scale = array_of(DType::F32, {2, 2}, [](int64_t) { return 1.0; }), zero_point = array_of(DType::I8, {2, 2}, [](int64_t) { return 0.0; });
  expect_refused("quantize_beacon", {weight, H, none(), scale, zero_point, none(), none()}, beacon_options(4, true, 4, "group", 4), "2 groups need the factor");
  Options tensor = beacon_options(4, true, 4, "tensor");
  expect_refused("quantize_beacon", {weight, H, none(), array_of(DType::F32, {1}, [](int64_t) { return 1.0; }), array_of(DType::I8, {1}, [](int64_t) { return 0.0; }), none(), none()}, tensor, "strategy channel or group, not tensor");
});

}  // namespace
