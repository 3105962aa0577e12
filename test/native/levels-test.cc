// Levels: every code of each set against a float64 table written from its definition, rounding against a search in that table, the scales against their formulas,
// the solvers' codes, and what they answer to weights and options that do not fit.
#include "quantizers/grid.h"
#include "runner.h"
#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

struct Set {
  std::string name;
  int num_bits;
  /// Ascending.
  std::vector<double> levels;
  /// What the largest magnitude of a cell is divided by.
  double end;
};

std::vector<double> powers(int num_bits) {
  std::vector<double> levels = {0};
  for (int e = 0; e <= num_bits - 2; ++e) {
    levels.push_back(std::ldexp(1.0, e));
    levels.insert(levels.begin(), -std::ldexp(1.0, e));
  }
  return levels;
}

const std::vector<Set> sets = {{"ternary", 2, {-1, 0, 1}, 1.5},
                               {"ternary", 4, {-1, 0, 1}, 1.5},
                               {"binary", 2, {-1, 1}, 2},
                               {"six", 4, {-5, -3, -1, 1, 3, 5}, 6},
                               {"six", 8, {-5, -3, -1, 1, 3, 5}, 6},
                               {"power_of_two", 3, powers(3), 3},
                               {"power_of_two", 4, powers(4), 6},
                               {"power_of_two", 8, powers(8), 96}};

Options args(const Set& set, const std::string& strategy, int group_size = 0) {
  return options({{"num_bits", static_cast<double>(set.num_bits)}, {"symmetric", true}, {"levels", set.name}, {"strategy", strategy}, {"group_size", static_cast<double>(group_size)}, {"observer", std::string("minmax")}, {"block_size", 4.0}});
}

/// Distance of x to the nearest level.
double distance(const Set& set, double x) {
  double least = INFINITY;
  for (const double level : set.levels) least = std::min(least, std::fabs(level - x));
  return least;
}

const Case table_cases("levels: every level comes back from its weight, packed and unpacked too, and nothing else does", [] {
  for (const Set& set : sets) {
    const int64_t n = static_cast<int64_t>(set.levels.size());
    for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
      const double step = 0.25;
      const Array weight = array_of(dtype, {1, n}, [&](int64_t i) { return step * set.levels[static_cast<size_t>(i)]; });
      const Array scale = array_of(dtype, {1, 1}, [&](int64_t) { return step; }), zero = array_of(DType::I8, {1, 1}, [](int64_t) { return 0.0; });
      const Options all = args(set, "channel");
      const Array q = run_everywhere("quantize_rtn", {weight, scale, zero, none()}, all)[0];
      Options packing = options({{"num_bits", static_cast<double>(set.num_bits)}, {"axis", 1.0}, {"rows", 1.0}, {"columns", static_cast<double>(n)}});
      const Array unpacked = run_everywhere("unpack_int32", {run_everywhere("pack_int32", {q}, packing)[0]}, packing)[0];
      const Array back = run_everywhere("dequantize", {unpacked, scale, none(), none()}, all)[0];
      for (int64_t i = 0; i < n; ++i) {
        expect(q.at(i) == set.levels[static_cast<size_t>(i)] && unpacked.at(i) == q.at(i), set.name + ": code " + std::to_string(q.at(i)) + " of level " + std::to_string(set.levels[static_cast<size_t>(i)]));
        expect(back.at(i) == weight.at(i), set.name + ": " + std::to_string(back.at(i)));
      }
    }
    // From far below the first to far above the last level, in steps that hit the middles.
    const Array many = array_of(DType::F32, {1, 2001}, [&](int64_t i) { return (static_cast<double>(i) - 1000) / 500 * (set.levels.back() + 2); });
    const Array one = array_of(DType::F32, {1, 1}, [](int64_t) { return 1.0; }), zero = array_of(DType::I8, {1, 1}, [](int64_t) { return 0.0; });
    const Array codes = run_everywhere("quantize_rtn", {many, one, zero, none()}, args(set, "channel"))[0];
    int64_t n_outside = 0;
    for (int64_t i = 0; i < 2001; ++i) {
      expect(distance(set, codes.at(i)) == 0, set.name + ": the code " + std::to_string(codes.at(i)) + " is no level");
      expect(std::fabs(codes.at(i) - many.at(i)) <= distance(set, many.at(i)) + 1e-6, set.name + ": " + std::to_string(many.at(i)) + " became " + std::to_string(codes.at(i)));
      n_outside += std::fabs(many.at(i)) > set.end;
    }
    const double share = run_everywhere("clipped_share", {many, one, zero, none()}, args(set, "channel"))[0].at(0);
    expect(std::fabs(share - static_cast<double>(n_outside) / 2001) < 1e-9, set.name + ": clipped " + std::to_string(share));
  }
});

const Case middle_cases("levels: in the middle of two powers of two stands the smaller, of two odd integers the one that is 1 mod 4, 0 becomes 1", [] {
  const Set &powers_of_two = sets[7], &six = sets[3];
  const Array one = array_of(DType::F32, {1, 1}, [](int64_t) { return 1.0; }), zero = array_of(DType::I8, {1, 1}, [](int64_t) { return 0.0; });
  auto codes = [&](const Set& set, const std::vector<double>& values) {
    return run_everywhere("quantize_rtn", {array_of(DType::F32, {1, static_cast<int64_t>(values.size())}, [&](int64_t i) { return values[static_cast<size_t>(i)]; }), one, zero, none()}, args(set, "channel"))[0];
  };
  const Array p = codes(powers_of_two, {0.5, -0.5, 1.5, -1.5, 3, 48, 0.5001, 1.5001, -3.001, 1000, -1000});
  const std::vector<double> wanted = {0, 0, 1, -1, 2, 32, 1, 2, -4, 64, -64};
  for (size_t i = 0; i < wanted.size(); ++i) expect(p.at(static_cast<int64_t>(i)) == wanted[i], "power " + std::to_string(i) + ": " + std::to_string(p.at(static_cast<int64_t>(i))));
  const Array odd = codes(six, {0, 2, -2, 4, -4, 100});
  const std::vector<double> wanted_odd = {1, 1, -3, 5, -3, 5};
  for (size_t i = 0; i < wanted_odd.size(); ++i) expect(odd.at(static_cast<int64_t>(i)) == wanted_odd[i], "odd " + std::to_string(i) + ": " + std::to_string(odd.at(static_cast<int64_t>(i))));
});

const Case scale_cases("levels: scales are the largest magnitude over the end of the set, or the mean magnitude", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const Set& set : sets) {
      const Array weight = normal(dtype, {6, 24}, 5, 0.1);
      const Array scales = run_everywhere("weight_scales", {weight, none()}, args(set, "group", 8))[0];
      const double unit = dtype == DType::F32 ? 1e-6 : dtype == DType::BF16 ? 0.004 : 0.0005;
      for (int64_t i = 0; i < 18; ++i) {
        double largest = 0, sum = 0;
        for (int64_t c = 0; c < 8; ++c) {
          largest = std::max(largest, std::fabs(weight.at(i / 3, i % 3 * 8 + c)));
          sum += std::fabs(weight.at(i / 3, i % 3 * 8 + c));
        }
        expect(std::fabs(scales.at(i) - largest / set.end) <= unit * largest / set.end, set.name + ": scale " + std::to_string(scales.at(i)) + " of " + std::to_string(largest));
        if (set.name != "ternary" && set.name != "binary") continue;
        const Array means = run_everywhere("absmean_scales", {weight, none()}, args(set, "group", 8))[0];
        expect(std::fabs(means.at(i) - sum / 8) <= unit * sum / 8, set.name + ": mean magnitude " + std::to_string(means.at(i)) + ", not " + std::to_string(sum / 8));
      }
    }
  // BitNet b1.58's whole weight, and groups along a permutation.
  const Array weight = normal(DType::F32, {5, 12}, 6, 0.1);
  double sum = 0, of_first_group = 0;
  for (int64_t i = 0; i < 60; ++i) sum += std::fabs(weight.at(i));
  expect(std::fabs(run_everywhere("absmean_scales", {weight, none()}, args(sets[0], "tensor"))[0].at(0) - sum / 60) < 1e-7, "the mean magnitude of all");
  const Array reversed = array_of(DType::I32, {12}, [](int64_t i) { return static_cast<double>(11 - i); });
  for (int64_t c = 8; c < 12; ++c) of_first_group += std::fabs(weight.at(0, c));
  expect(std::fabs(run_everywhere("absmean_scales", {weight, reversed}, args(sets[0], "group", 4))[0].at(0) - of_first_group / 4) < 1e-7, "a group along a permutation");
});

const Case best_binary_case("absmean_scales: for binary levels no scale has a smaller squared error", [] {
  const Array weight = normal(DType::F32, {1, 64}, 9, 0.1);
  const double scale = run_everywhere("absmean_scales", {weight, none()}, args(sets[2], "channel"))[0].at(0);
  auto error = [&](double s) {
    double sum = 0;
    for (int64_t i = 0; i < 64; ++i) sum += std::pow(std::fabs(weight.at(i)) - s, 2);
    return sum;
  };
  for (const double factor : {0.8, 0.9, 0.99, 1.01, 1.1, 1.2}) expect(error(scale) < error(scale * factor), std::to_string(factor) + " times the scale is better");
});

const Case solver_cases("levels: GPTQ's codes are levels, and their output error is below that of rounding", [] {
  for (const Set& set : sets) {
    const int64_t O = 24, I = 32;
    const Array weight = normal(DType::F32, {O, I}, 21, 0.05), x = tokens_of(I, 96, 22), H = gram(x, x);
    const Options all = args(set, "channel");
    const bool has_mean = set.name == "ternary" || set.name == "binary";
    const std::vector<Array> scales = run_everywhere(has_mean ? "absmean_scales" : "weight_scales", {weight, none()}, all);
    const Array factor = run_everywhere("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}))[0];
    const Array rounded = run_everywhere("quantize_rtn", {weight, scales[0], scales[1], none()}, all)[0];
    const Array solved = run_everywhere("quantize_gptq", {weight, factor, scales[0], scales[1], none(), none(), none()}, all)[0];
    for (int64_t i = 0; i < O * I; ++i) expect(distance(set, solved.at(i)) == 0, set.name + ": GPTQ's code " + std::to_string(solved.at(i)));
    auto error = [&](const Array& codes) { return run_everywhere("hessian_error", {weight, run_everywhere("dequantize", {codes, scales[0], none(), none()}, all)[0], H}, {})[0].at(0); };
    expect(error(solved) < error(rounded), set.name + std::to_string(set.num_bits) + ": " + std::to_string(error(solved)) + " after " + std::to_string(error(rounded)));
  }
});

const Case odd_cases("levels: cells of zeros, NaN and infinities, and options that do not fit", [] {
  for (const Set& set : sets)
    for (const DType dtype : {DType::F32, DType::BF16}) {
      const Array zeros = array_of(dtype, {2, 8}, [](int64_t i) { return i < 8 ? 0.0 : 0.5; });
      const Options all = args(set, "channel");
      const std::vector<Array> scales = run_everywhere("weight_scales", {zeros, none()}, all);
      const Array back = run_everywhere("dequantize", {run_everywhere("quantize_rtn", {zeros, scales[0], scales[1], none()}, all)[0], scales[0], none(), none()}, all)[0];
      for (int64_t i = 0; i < 8; ++i) expect(std::fabs(back.at(i)) < 1e-30, set.name + ": a zero became " + std::to_string(back.at(i)));
    }
  const Array poisoned = array_of(DType::F32, {3, 8}, [](int64_t i) { return i == 17 ? NAN : i == 3 ? 1.0 : 0.5; }), infinite = array_of(DType::F32, {3, 8}, [](int64_t i) { return i == 9 ? -INFINITY : 0.5; });
  expect_refused("absmean_scales", {poisoned, none()}, args(sets[0], "channel"), "in row 2");
  expect_refused("absmean_scales", {infinite, none()}, args(sets[0], "tensor"), "in row 1");
  expect_refused("weight_scales", {infinite, none()}, args(sets[3], "channel"), "in row 1");
  const Array weight = normal(DType::F32, {2, 8}, 3, 0.1);
  expect_refused("absmean_scales", {weight, none()}, args(sets[3], "channel"), "ternary and binary");
  Options all = args({"five", 4, {}, 1}, "channel");
  expect_refused("weight_scales", {weight, none()}, all, "levels five are none of");
  expect_refused("weight_scales", {weight, none()}, args({"six", 3, {}, 1}, "channel"), "need 4 bits");
  expect_refused("weight_scales", {weight, none()}, args({"power_of_two", 2, {}, 1}, "channel"), "need 3 bits");
  all = args(sets[0], "channel");
  all.set("symmetric", false);
  expect_refused("weight_scales", {weight, none()}, all, "symmetric integers");
  const Array H = array_of(DType::F32, {8, 8}, [](int64_t i) { return i % 9 == 0 ? 1.0 : 0.0; }), scale = array_of(DType::F32, {2, 1}, [](int64_t) { return 0.1; }), zero = array_of(DType::I8, {2, 1}, [](int64_t) { return 0.0; });
  all = args(sets[3], "channel");
  all.set("n_iters", 2.0);
  expect_refused("quantize_comq", {weight, H, scale, zero, none()}, all, "levels six are not one step apart");
});

}  // namespace
