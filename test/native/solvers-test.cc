// COMQ, GPFQ, Qronos and error correction against their papers' words in float64, with the inputs X and X̃ themselves.
#include <algorithm>
#include <numeric>

#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

constexpr int64_t O = 20, n = 24, T = 160;

struct Pair {
  Array weight, X, Xt, H, C;
};

struct Size {
  int64_t O, n, T;
};

/// Inputs of a float model, and the same with an error as quantized layers leave it.
Pair pair_of(double error, uint32_t seed = 81, const Size& size = {O, n, T}) {
  const Array X = tokens_of(size.n, size.T, seed, 0.15), noise = normal(DType::F32, {size.T, size.n}, seed + 5, error);
  const Array Xt = array_of(DType::F32, {size.T, size.n}, [&](int64_t i) { return X.at(i) + noise.at(i); });
  return {normal(DType::F32, {size.O, size.n}, seed + 9), X, Xt, gram(Xt, Xt), gram(X, Xt)};
}

double code_at(double value, double scale, double zero_point, int num_bits) {
  const double lowest = -std::ldexp(1, num_bits - 1);
  return std::nearbyint(std::clamp(value / scale + zero_point, lowest, -lowest - 1));
}

/// A value within F32's error of a border takes the other code, and what follows it in its row goes another way: rows are compared, and a few may.
bool is_same_row(const Array& codes, const std::vector<double>& reference, int64_t r) {
  const int64_t n_columns = codes.spec.shape[1];
  for (int64_t t = 0; t < n_columns; ++t)
    if (codes.at(r, t) != reference[static_cast<size_t>(r * n_columns + t)]) return false;
  return true;
}

void expect_same_codes(const Array& codes, const std::vector<double>& reference, const std::string& what) {
  const int64_t n_rows = codes.spec.shape[0];
  int64_t n_different = 0;
  for (int64_t r = 0; r < n_rows; ++r) n_different += !is_same_row(codes, reference, r);
  expect(n_different <= 2, what + ": " + std::to_string(n_different) + " of " + std::to_string(n_rows) + " rows differ");
}

const Case cross_cases("cross_hessian_accumulate is the running xᵀx̃", [] {
  const Pair pair = pair_of(0.3);
  const Array before = normal(DType::F32, {n, n}, 90);
  const Array result = run_everywhere("cross_hessian_accumulate", {before, pair.X, pair.Xt}, options({{"decay", 0.25}, {"weight", 0.5}}), 1)[0];
  std::vector<double> expected;
  for (int64_t i = 0; i < n * n; ++i) expected.push_back(0.25 * before.at(i) + 0.5 * pair.C.at(i));
  expect_close(result, expected, 1e-5);
});

const Case cross_part_cases("cross_hessian_accumulate where it is summed from rounded parts stays within their bound of every sum", [] {
  const int64_t n_tokens = 70, n_columns = 150;
  const Array x = normal(DType::F32, {n_tokens, n_columns}, 91), x_tilde = normal(DType::F32, {n_tokens, n_columns}, 92, 3), before = normal(DType::F32, {n_columns, n_columns}, 93);
  for (const double decay : {0.0, 0.5}) {
    const Array result = run_everywhere("cross_hessian_accumulate", {before, x, x_tilde}, options({{"decay", decay}, {"weight", 0.25}}), 1)[0];
    for (int64_t i = 0; i < n_columns; ++i)
      for (int64_t j = 0; j < n_columns; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t t = 0; t < n_tokens; ++t) sum += x.at(t, i) * x_tilde.at(t, j), magnitude += std::fabs(x.at(t, i) * x_tilde.at(t, j));
        const double expected = decay * before.at(i, j) + 0.25 * sum;
        // 3.1e-5 of the parts, and the rounding of sums in F32.
        expect(std::fabs(result.at(i, j) - expected) <= 0.25 * magnitude * (3.1e-5 + 1e-5) + 1e-6 * std::fabs(expected), "element " + std::to_string(i) + ", " + std::to_string(j) + " is " + std::to_string(result.at(i, j)) + ", expected " + std::to_string(expected));
      }
  }
});

const Case corrected_cases("corrected_weight solves the damped least squares of the two inputs, goes as far as it is told, and changes nothing where they are one", [] {
  for (const double strength : {1.0, 0.25}) for (const int64_t n_rows : {O, 2 * n + 1}) for (const double error : {0.0, 0.3}) {
    const Pair pair = pair_of(error, 81, {n_rows, n, T});
    const Array U = run("inverse_factor", {run("gptq_factor", {pair.H, none()}, options({{"dampening_frac", 0.01}}), 1)[0]}, {}, 1)[0];
    const Array result = run_everywhere("corrected_weight", {pair.weight, pair.H, error == 0 ? pair.H : pair.C, U}, options({{"strength", strength}}))[0];
    const double damping = 0.01 * mean_diagonal(pair.H);
    std::vector<double> A(static_cast<size_t>(n * n)), expected;
    for (int64_t i = 0; i < n * n; ++i) A[static_cast<size_t>(i)] = pair.H.at(i) + (i % (n + 1) == 0 ? damping : 0);
    for (int64_t r = 0; r < n_rows; ++r) {
      std::vector<double> right(static_cast<size_t>(n));
      for (int64_t t = 0; t < n; ++t) {
        double sum = damping * pair.weight.at(r, t);
        for (int64_t j = 0; j < n; ++j) sum += pair.weight.at(r, j) * (error == 0 ? pair.H : pair.C).at(j, t);
        right[static_cast<size_t>(t)] = sum;
      }
      const std::vector<double> solved = solve(A, right);
      for (int64_t t = 0; t < n; ++t) expected.push_back(pair.weight.at(r, t) + strength * (solved[static_cast<size_t>(t)] - pair.weight.at(r, t)));
    }
    expect_close(result, expected, 1e-4);
    expect_refused("corrected_weight", {pair.weight, pair.H, pair.C, U}, options({{"strength", 1.5}}), "not between 0 and 1");
    for (int64_t i = 0; error == 0 && i < n_rows * n; ++i) expect(result.at(i) == pair.weight.at(i), "a weight changed with X = X̃");
  }
});

const Case gpfq_cases("quantize_gpfq follows u of the paper, with and without another X, over several blocks", [] {
  for (const double error : {0.0, 0.3})
    for (const bool symmetric : {true, false}) {
      const Pair pair = pair_of(error);
      const Options all = grid_options(3, symmetric, "group", 8);
      const std::vector<Array> scales = run("weight_scales", {pair.weight, none()}, all, 1);
      const Array codes = run_everywhere("quantize_gpfq", {pair.weight, pair.H, error == 0 ? none() : pair.C, scales[0], scales[1], none()}, all)[0];
      const Array& X = error == 0 ? pair.Xt : pair.X;
      std::vector<double> expected;
      for (int64_t r = 0; r < O; ++r) {
        std::vector<double> u(static_cast<size_t>(T));
        for (int64_t t = 0; t < n; ++t) {
          double product = 0;
          for (int64_t i = 0; i < T; ++i) product += (u[static_cast<size_t>(i)] + pair.weight.at(r, t) * X.at(i, t)) * pair.Xt.at(i, t);
          const double s = scales[0].at(r, t / 8), z = scales[1].at(r, t / 8), q = code_at(product / pair.H.at(t, t), s, z, 3);
          expected.push_back(q);
          for (int64_t i = 0; i < T; ++i) u[static_cast<size_t>(i)] += pair.weight.at(r, t) * X.at(i, t) - (q - z) * s * pair.Xt.at(i, t);
        }
      }
      expect_same_codes(codes, expected, "GPFQ");
    }
  // Behind the first block of 128 columns the products come from matrix products: the same layer as above with columns of zeros before it.
  const Pair pair = pair_of(0.3);
  const int64_t wide = 120 + n;
  auto widened = [&](const Array& narrow, double diagonal) {
    return array_of(DType::F32, {wide, wide}, [&, diagonal](int64_t i) { return i / wide < 120 || i % wide < 120 ? (i / wide == i % wide ? diagonal : 0.0) : narrow.at(i / wide - 120, i % wide - 120); });
  };
  const Array weight = array_of(DType::F32, {O, wide}, [&](int64_t i) { return i % wide < 120 ? 0.0 : pair.weight.at(i / wide, i % wide - 120); });
  const Options all = grid_options(3, true);
  const std::vector<Array> scales = run("weight_scales", {pair.weight, none()}, all, 1);
  const Array near = run("quantize_gpfq", {pair.weight, pair.H, pair.C, scales[0], scales[1], none()}, all, 1)[0], far = run_everywhere("quantize_gpfq", {weight, widened(pair.H, 1.0), widened(pair.C, 1.0), scales[0], scales[1], none()}, all)[0];
  int64_t n_different = 0;
  for (int64_t r = 0; r < O; ++r)
    for (int64_t t = 0; t < n; ++t) n_different += near.at(r, t) != far.at(r, t + 120);
  expect(n_different <= 24, std::to_string(n_different) + " codes differ behind the first block");
});

const Case gpfq_block_cases("quantize_gpfq over several blocks of columns and tiles of rows is its sums over Gram matrices in float64", [] {
  const Size size{70, 290, 600};
  const Pair pair = pair_of(0.3, 95, size);
  const Options all = grid_options(3, false, "group", 58);
  const std::vector<Array> scales = run("weight_scales", {pair.weight, none()}, all, 1);
  // With weights that are to be zero too.
  const Array kept = array_of(DType::U8, {size.O, size.n}, [&](int64_t i) { return (i * 7 + i / size.n) % 3 == 0 ? 1 : 0; });
  for (const bool has_mask : {false, true}) for (const bool has_cross : {false, true}) {
    const Array codes = run_everywhere("quantize_gpfq", {pair.weight, pair.H, has_cross ? pair.C : none(), scales[0], scales[1], has_mask ? kept : none()}, all)[0];
    const Array& C = has_cross ? pair.C : pair.H;
    std::vector<double> expected;
    for (int64_t r = 0; r < size.O; ++r) {
      std::vector<double> P(static_cast<size_t>(size.n));
      for (int64_t t = 0; t < size.n; ++t) {
        const double w = pair.weight.at(r, t), s = scales[0].at(r, t / 58), z = scales[1].at(r, t / 58), q = has_mask && kept.at(r, t) != 0 ? z : code_at((P[static_cast<size_t>(t)] + w * C.at(t, t)) / pair.H.at(t, t), s, z, 3);
        expected.push_back(q);
        for (int64_t k = t + 1; k < size.n; ++k) P[static_cast<size_t>(k)] += w * C.at(t, k) - (q - z) * s * pair.H.at(t, k);
      }
    }
    expect_same_codes(codes, expected, "GPFQ over blocks");
  }
});

const Case comq_cases("quantize_comq descends along each code and then along the scale, as in float64", [] {
  // One tile of rows and one block of columns; several, none of them full.
  for (const Size& size : {Size{20, 24, 160}, Size{70, 264, 600}}) {
    const Pair pair = pair_of(0.0, 101, size);
    const int64_t O = size.O, n = size.n;
    // With weights that are to be zero, and without.
    const Array kept = array_of(DType::U8, {O, n}, [&](int64_t i) { return (i * 7 + i / n) % 3 == 0 ? 1 : 0; });
    for (const bool has_mask : {false, true}) for (const auto& [strategy, group_size] : {std::pair{std::string("channel"), int64_t{0}}, {std::string("group"), int64_t{8}}}) for (const bool symmetric : {true, false}) {
      Options all = grid_options(4, symmetric, strategy, group_size);
      all.set("n_iters", 3.0);
      const std::vector<Array> scales = run("weight_scales", {pair.weight, none()}, all, 1);
      const std::vector<Array> result = run_everywhere("quantize_comq", {pair.weight, pair.H, scales[0], scales[1], has_mask ? kept : none()}, all);
      const int64_t width = group_size == 0 ? n : group_size;
      std::vector<int64_t> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::vector<double> norms(static_cast<size_t>(n)), expected(static_cast<size_t>(O * n));
      for (int64_t t = 0; t < n; ++t)
        for (int64_t r = 0; r < O; ++r) norms[static_cast<size_t>(t)] += pair.weight.at(r, t) * pair.weight.at(r, t) * pair.H.at(t, t);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return norms[static_cast<size_t>(a)] > norms[static_cast<size_t>(b)]; });
      for (int64_t r = 0; r < O; ++r) {
        std::vector<double> v(static_cast<size_t>(n)), s(static_cast<size_t>(n / width));
        for (int64_t t = 0; t < n; ++t) v[static_cast<size_t>(t)] = pair.weight.at(r, t);
        for (int64_t g = 0; g < n / width; ++g) s[static_cast<size_t>(g)] = scales[0].at(r * (n / width) + g);
        auto product = [&](const std::vector<double>& y, bool of_rest, int64_t t) {
          double sum = 0;
          for (int64_t j = 0; j < n; ++j) sum += (of_rest ? pair.weight.at(r, j) - y[static_cast<size_t>(j)] : y[static_cast<size_t>(j)]) * pair.H.at(j, t);
          return sum;
        };
        for (int pass = 0; pass < 3; ++pass) {
          for (int64_t t : order) {
            const double z = scales[1].at(r * (n / width) + t / width), scale = s[static_cast<size_t>(t / width)], q = has_mask && kept.at(r, t) != 0 ? z : code_at(v[static_cast<size_t>(t)] + product(v, true, t) / pair.H.at(t, t), scale, z, 4);
            expected[static_cast<size_t>(r * n + t)] = q;
            v[static_cast<size_t>(t)] = (q - z) * scale;
          }
          if (group_size != 0) continue;
          double with_target = 0, norm = 0;
          for (int64_t t = 0; t < n; ++t) {
            norm += v[static_cast<size_t>(t)] * product(v, false, t);
            with_target += v[static_cast<size_t>(t)] * (product(v, true, t) + product(v, false, t));
          }
          s[0] *= with_target / norm;
          for (double& value : v) value *= with_target / norm;
        }
        if (group_size == 0 && is_same_row(result[0], expected, r)) expect(std::fabs(result[1].at(r) - s[0]) <= 1e-4 * s[0], "scale " + std::to_string(result[1].at(r)) + ", reference " + std::to_string(s[0]));
      }
      expect_same_codes(result[0], expected, "COMQ " + strategy);
    }
  }
});

const Case comq_better_cases("COMQ's output error is below round to nearest's and falls with its passes", [] {
  const Array weight = normal(DType::BF16, {48, 128}, 55), x = tokens_of(128, 500, 56), H = gram(x, x);
  Options all = grid_options(3, true);
  const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
  double last = run("hessian_error", {weight, run("dequantize", {run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0], scales[0], scales[1], none()}, all, 1)[0], H}, {}, 1)[0].at(0);
  for (const double n_iters : {1.0, 2.0, 4.0}) {
    all.set("n_iters", n_iters);
    const std::vector<Array> result = run_everywhere("quantize_comq", {weight, H, scales[0], scales[1], none()}, all);
    const double error = run("hessian_error", {weight, run("dequantize", {result[0], result[1], scales[1], none()}, all, 1)[0], H}, {}, 1)[0].at(0);
    expect(error < last, "after " + std::to_string(n_iters) + " passes " + std::to_string(error) + ", before " + std::to_string(last));
    last = error;
  }
});

const Case qronos_cases("Qronos: the first code for the true target, then GPTQ, is the paper's least squares behind every code", [] {
  for (const double error : {0.0, 0.3}) for (const bool ordered : {false, true}) {
    const Pair pair = pair_of(error);
    const Array& C = error == 0 ? pair.H : pair.C;
    Options all = grid_options(3, true);
    const std::vector<Array> scales = run("weight_scales", {pair.weight, none()}, all, 1);
    const Array order = ordered ? run("hessian_order", {pair.H}, {}, 1)[0] : none();
    // Column that is walked at place t.
    auto at = [&](int64_t t) { return ordered ? static_cast<int64_t>(order.at(t)) : t; };
    auto factor = [&](const Array& columns) { return run("gptq_factor", {pair.H, columns}, options({{"dampening_frac", 0.01}}), 1)[0]; };
    const Array natural = run("inverse_factor", {factor(none())}, {}, 1)[0], R = factor(order), U = run("inverse_factor", {R}, {}, 1)[0];
    const Array corrected = run("corrected_weight", {pair.weight, pair.H, C, natural}, {}, 1)[0];
    const Array begun = run_everywhere("qronos_start", {pair.weight, corrected, pair.H, C, U, scales[0], scales[1], order}, all)[0];
    const Array codes = run("quantize_gptq", {begun, R, scales[0], scales[1], order, none(), none()}, all, 1)[0];
    const double damping = 0.01 * mean_diagonal(pair.H);
    std::vector<double> expected(static_cast<size_t>(O * n));
    for (int64_t r = 0; r < O; ++r) {
      const double s = scales[0].at(r);
      std::vector<double> right(static_cast<size_t>(n));
      for (int64_t t = 0; t < n; ++t) {
        double sum = damping * pair.weight.at(r, at(t));
        for (int64_t j = 0; j < n; ++j) sum += pair.weight.at(r, j) * C.at(j, at(t));
        right[static_cast<size_t>(t)] = sum;
      }
      double first = 0;
      for (int64_t j = 0; j < n; ++j) first += pair.weight.at(r, j) * (C.at(j, at(0)) - (j != at(0) ? pair.H.at(j, at(0)) : 0));
      double q = code_at(first / pair.H.at(at(0), at(0)), s, 0, 3);
      expected[static_cast<size_t>(r * n + at(0))] = q;
      for (int64_t t = 1; t < n; ++t) {
        // What the codes before t leave of the right side, and the best weights from t on.
        const int64_t m = n - t;
        std::vector<double> A(static_cast<size_t>(m * m)), b(static_cast<size_t>(m));
        for (int64_t i = 0; i < m; ++i) {
          right[static_cast<size_t>(t + i)] -= q * s * pair.H.at(at(t - 1), at(t + i));
          b[static_cast<size_t>(i)] = right[static_cast<size_t>(t + i)];
          for (int64_t j = 0; j < m; ++j) A[static_cast<size_t>(i * m + j)] = pair.H.at(at(t + i), at(t + j)) + (i == j ? damping : 0);
        }
        q = code_at(solve(A, b)[0], s, 0, 3);
        expected[static_cast<size_t>(r * n + at(t))] = q;
      }
    }
    expect_same_codes(codes, expected, "Qronos");
  }
});

const Case odd_cases("COMQ, GPFQ and Qronos with dead inputs, one token and a row of zeros; what is not finite is refused", [] {
  Pair pair = pair_of(0.0, 121);
  const Array weight = array_of(DType::F32, {O, n}, [&](int64_t i) { return i / n == 2 ? 0.0 : pair.weight.at(i); });
  const Array with_dead = array_of(DType::F32, {T, n}, [&](int64_t i) { return i % n == 0 || i % n == 5 ? 0.0 : pair.X.at(i); }), one = array_of(DType::F32, {1, n}, [&](int64_t i) { return pair.X.at(i); });
  Options all = grid_options(4, true);
  all.set("n_iters", 2.0);
  const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
  for (const Array& x : {with_dead, one}) {
    const Array H = gram(x, x), U = run("inverse_factor", {run("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}), 1)[0]}, {}, 1)[0];
    const Array comq = run_everywhere("quantize_comq", {weight, H, scales[0], scales[1], none()}, all)[0], gpfq = run_everywhere("quantize_gpfq", {weight, H, none(), scales[0], scales[1], none()}, all)[0];
    const Array qronos = run_everywhere("qronos_start", {weight, run("corrected_weight", {weight, H, H, U}, {}, 1)[0], H, H, U, scales[0], scales[1], none()}, all)[0];
    for (int64_t r = 0; r < O; ++r)
      for (int64_t t = 0; t < n; ++t) {
        const bool zero = r == 2 || !(H.at(t, t) > 0);
        expect(!zero || (comq.at(r, t) == 0 && gpfq.at(r, t) == 0), "a weight that is zero or never used is not zero");
        expect(std::isfinite(qronos.at(r, t)) && (t > 0 || !zero || qronos.at(r, t) == 0), "Qronos begins with a value that is none");
      }
  }
  for (const double value : {NAN, INFINITY}) {
    const Array poisoned = array_of(DType::F32, {O, n}, [&](int64_t i) { return i == n + 3 ? value : weight.at(i); }), H = gram(pair.X, pair.X);
    const Array poisoned_H = array_of(DType::F32, {n, n}, [&](int64_t i) { return i == 3 * (n + 1) ? value : H.at(i); });
    expect_refused("quantize_comq", {poisoned, H, scales[0], scales[1], none()}, all, "the error of row 1");
    expect_refused("quantize_gpfq", {poisoned, H, none(), scales[0], scales[1], none()}, all, "row 1 reaches values that are not finite");
    expect_refused("quantize_comq", {weight, poisoned_H, scales[0], scales[1], none()}, all, "diag(H) at column 3");
    expect_refused("quantize_gpfq", {weight, poisoned_H, none(), scales[0], scales[1], none()}, all, "diag(H) at column 3");
  }
});

}  // namespace
