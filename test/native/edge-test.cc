// Sizes and states at which a backend changes its way: tiles that are just full, rows that are aligned to nothing, wide heads, values that are not finite on their
// way through products, and failures that are told late. They run on every backend; a kernel that fits the common case only shows here.
#include "core/split-bf16.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

std::vector<double> product(const Array& x, const Array& w) {
  std::vector<double> reference;
  for (int64_t t = 0; t < x.spec.shape[0]; ++t)
    for (int64_t o = 0; o < w.spec.shape[0]; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < x.spec.shape[1]; ++i) sum += x.at(t, i) * w.at(o, i);
      reference.push_back(sum);
    }
  return reference;
}

const Case tile_cases("linear at full tiles and one beside them, with weights of every float type", [] {
  for (int64_t I : {63, 64, 65, 128, 257})
    for (DType dtype : {DType::F32, DType::BF16, DType::F16, DType::F64}) {
      const Array x = normal(DType::F32, {33, I}, 71), w = normal(dtype, {65, I}, 72);
      expect_close(run_everywhere("linear", {x, w, none()}, {})[0], product(x, w), 1e-5);
    }
});

const Case magnitude_cases("linear keeps small inputs beside large ones: columns of 1e-6 and 1e6 with weights that cancel the large", [] {
  // y = 1e6 · (w - w) + 1e-6 · w: what one BF16 part, or TF32, would lose.
  const Array x = array_of(DType::F32, {5, 3}, [](int64_t i) { return i % 3 == 2 ? 1.2345678e-1 : 1234567.0; });
  const Array w = array_of(DType::BF16, {4, 3}, [](int64_t i) { return i % 3 == 0 ? 0.75 : i % 3 == 1 ? -0.75 : 0.5; });
  expect_close(run_everywhere("linear", {x, w, none()}, {})[0], product(x, w), 1e-6);
});

const Case alignment_cases("operations on rows cut out of a tensor of odd width, aligned to an element alone", [] {
  const Array all = normal(DType::BF16, {5, 7}, 73), x = normal(DType::F32, {3, 7}, 74);
  for (int64_t start : {0, 1, 3}) {
    const std::vector<Array> rows = run_chain(all, "narrow", options({{"start", static_cast<double>(start)}, {"length", 2.0}}), "linear", [&](const bitwright::Tensor& part, const auto& upload) {
      return std::vector<bitwright::Tensor>{upload(x), part, nullptr};
    });
    const Array cut = array_of(DType::BF16, {2, 7}, [&](int64_t i) { return all.at(start * 7 + i); });
    expect_close(rows[0], product(x, cut), 1e-5);
  }
});

const Case wide_head_cases("attention with heads of 1 to 256 columns, at tile borders of queries and keys", [] {
  for (int64_t head_dim : {1, 16, 17, 64, 96, 100, 128, 256})
    for (int64_t T : {1, 32, 33, 65}) {
      const int64_t n_heads = 2, width = n_heads * head_dim;
      const Array q = normal(DType::F32, {T, width}, 75), k = normal(DType::F32, {T, head_dim}, 76), v = normal(DType::F32, {T, head_dim}, 77);
      const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
      std::vector<double> reference;
      for (int64_t t = 0; t < T; ++t)
        for (int64_t h = 0; h < n_heads; ++h) {
          std::vector<double> weights;
          double total = 0;
          for (int64_t s = 0; s <= t; ++s) {
            double dot = 0;
            for (int64_t d = 0; d < head_dim; ++d) dot += q.at(t, h * head_dim + d) * k.at(s, d);
            weights.push_back(std::exp(dot * scale));
            total += weights.back();
          }
          for (int64_t d = 0; d < head_dim; ++d) {
            double sum = 0;
            for (int64_t s = 0; s <= t; ++s) sum += weights[static_cast<size_t>(s)] * v.at(s, d);
            reference.push_back(sum / total);
          }
        }
      const Options all = options({{"n_heads", 2.0}, {"n_kv_heads", 1.0}, {"head_dim", static_cast<double>(head_dim)}, {"scale", scale}});
      expect_close(run_everywhere("attention", {q, k, v, ints({2}, {0, static_cast<int32_t>(T)})}, all)[0], reference, 1e-5);
    }
});

const Case hessian_cases("hessian_accumulate where tensor cores begin, symmetric to the bit, over three batches", [] {
  for (const Shape& shape : {Shape{16, 128}, Shape{17, 129}, Shape{300, 160}}) {
    const int64_t I = shape[1];
    Array H = array_of(DType::F32, {I, I}, [](int64_t) { return 0.0; });
    std::vector<double> reference(static_cast<size_t>(I * I));
    for (uint32_t batch = 0; batch < 3; ++batch) {
      const Array x = normal(DType::F32, shape, 80 + batch);
      H = run_everywhere("hessian_accumulate", {H, x}, options({{"decay", 1.0}, {"weight", 2.0}}), 1)[0];
      for (int64_t i = 0; i < I; ++i)
        for (int64_t j = 0; j < I; ++j)
          for (int64_t t = 0; t < shape[0]; ++t) reference[static_cast<size_t>(i * I + j)] += 2 * x.at(t, i) * x.at(t, j);
    }
    expect_close(H, reference, 1e-5);
    for (int64_t i = 0; i < I; ++i)
      for (int64_t j = 0; j < i; ++j) expect(H.at(i, j) == H.at(j, i), "not symmetric at " + std::to_string(i) + ", " + std::to_string(j));
  }
});

const Case factor_cases("gptq_factor at full tiles and beside them, and inverse_factor: UᵀU times the damped Hessian is the identity", [] {
  for (int64_t n : {63, 65, 128, 191, 257}) {
    const Array x = normal(DType::F32, {3 * n, n}, 90), zero = array_of(DType::F32, {n, n}, [](int64_t) { return 0.0; });
    const Array H = run("hessian_accumulate", {zero, x}, options({{"decay", 0.0}, {"weight", 1.0}}), 1, 1)[0];
    const std::vector<Array> result = run_everywhere("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}));
    const Array U = run_everywhere("inverse_factor", {result[0]}, {})[0];
    const double damping = 0.01 * result[1].at(3);
    for (int64_t j = 0; j < n; j += 13) {
      // z = UᵀU (H + damping) e_j
      std::vector<double> column, half(static_cast<size_t>(n)), z(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) column.push_back(H.at(i, j) + (i == j ? damping : 0));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = i; k < n; ++k) half[static_cast<size_t>(i)] += U.at(i, k) * column[static_cast<size_t>(k)];
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k <= i; ++k) z[static_cast<size_t>(i)] += U.at(k, i) * half[static_cast<size_t>(k)];
      for (int64_t i = 0; i < n; ++i) expect(std::fabs(z[static_cast<size_t>(i)] - (i == j)) < 1e-3, "n " + std::to_string(n) + ", element " + std::to_string(i) + ", " + std::to_string(j));
      for (int64_t i = 0; i < j; ++i) expect(result[0].at(j, i) == 0 && U.at(j, i) == 0, "below the diagonal");
    }
  }
});

const Case order_cases("quantize_gptq by permutation and group table over several blocks is quantize_gptq of the reordered layer", [] {
  const int64_t O = 33, n = 300, group = 20, n_groups = n / group;
  const Array weight = normal(DType::BF16, {O, n}, 91), x = normal(DType::F32, {900, n}, 92), zero = array_of(DType::F32, {n, n}, [](int64_t) { return 0.0; });
  const Array H = run("hessian_accumulate", {zero, x}, options({{"decay", 0.0}, {"weight", 1.0}}), 1, 1)[0];
  const Array order = run_everywhere("hessian_order", {H}, {})[0];
  std::vector<int32_t> columns, table(static_cast<size_t>(n));
  for (int64_t j = 0; j < n; ++j) {
    columns.push_back(static_cast<int32_t>(order.at(j)));
    table[static_cast<size_t>(columns.back())] = static_cast<int32_t>(j / group);
  }
  Options all = options({{"num_bits", 4.0}, {"symmetric", false}, {"strategy", std::string("group")}, {"group_size", static_cast<double>(group)}, {"observer", std::string("minmax")}, {"block_size", 128.0}});
  const std::vector<Array> scales = run_everywhere("weight_scales", {weight, order}, all);
  expect(scales[0].spec.shape == Shape({O, n_groups}), "scales " + scales[0].spec.text());
  const Array R = run("gptq_factor", {H, order}, options({{"dampening_frac", 0.01}}), 1)[0];
  const std::vector<Array> solved = run_everywhere("quantize_gptq", {weight, R, scales[0], scales[1], order, ints({n}, table), none()}, all);
  const Array reordered = run_everywhere("gather_columns", {weight, order}, {})[0];
  const std::vector<Array> plain = run_everywhere("quantize_gptq", {reordered, R, scales[0], scales[1], none(), none(), none()}, all);
  for (int64_t r = 0; r < O; ++r) {
    for (int64_t j = 0; j < n; ++j) expect(solved[0].at(r, columns[static_cast<size_t>(j)]) == plain[0].at(r, j), "code of row " + std::to_string(r) + ", place " + std::to_string(j));
    expect(solved[1].at(r) == plain[1].at(r), "loss of row " + std::to_string(r));
  }
});

const Case search_cases("the mse search per tensor, channel and group agrees with every step tried in float64", [] {
  const int64_t O = 6, n = 96;
  const Array weight = normal(DType::F32, {O, n}, 93);
  for (const std::string strategy : {"tensor", "channel", "group"}) {
    const int64_t group = strategy == "group" ? 32 : n;
    Options all = options({{"num_bits", 3.0}, {"symmetric", true}, {"strategy", strategy}, {"group_size", strategy == "group" ? 32.0 : 0.0}, {"observer", std::string("mse")}, {"maxshrink", 0.5}, {"patience", 100.0}, {"grid", 20.0}, {"norm", 2.0}});
    const Array scale = run_everywhere("weight_scales", {weight, none()}, all)[0];
    for (int64_t cell = 0; cell < scale.spec.count(); ++cell) {
      auto error_of = [&](double step) {
        double error = 0;
        for (int64_t i = 0; i < (strategy == "tensor" ? O * n : group); ++i) {
          const double w = weight.at(strategy == "tensor" ? i : cell * group + i), q = std::fmin(std::fmax(std::nearbyint(w / step), -4), 3);
          error += std::pow(q * step - w, 2);
        }
        return error;
      };
      double largest = 0, best = INFINITY;
      for (int64_t i = 0; i < (strategy == "tensor" ? O * n : group); ++i) largest = std::fmax(largest, std::fabs(weight.at(strategy == "tensor" ? i : cell * group + i)));
      for (int step = 0; step < 10; ++step) best = std::fmin(best, error_of(largest * (1 - step / 20.0) / 3.5));
      expect(error_of(scale.at(cell)) <= best * 1.0001, strategy + " cell " + std::to_string(cell) + ": error " + std::to_string(error_of(scale.at(cell))) + ", best " + std::to_string(best));
    }
  }
});

const Case column_cases("columns over many rows: extremes and absmax of 3000 rows, at 1, 32 and 33 columns", [] {
  for (int64_t n : {1, 32, 33}) {
    const Array x = normal(DType::F32, {3000, n}, 94);
    std::vector<double> ranges(static_cast<size_t>(2 * n)), absmax(static_cast<size_t>(n));
    for (int64_t i = 0; i < x.spec.count(); ++i) {
      const size_t c = static_cast<size_t>(i % n);
      ranges[c] = std::fmin(ranges[c], x.at(i));
      ranges[c + static_cast<size_t>(n)] = std::fmax(ranges[c + static_cast<size_t>(n)], x.at(i));
      absmax[c] = std::fmax(absmax[c], std::fabs(x.at(i)));
    }
    const Array zero = array_of(DType::F32, {2, n}, [](int64_t) { return 0.0; }), none_yet = array_of(DType::F32, {n}, [](int64_t) { return 0.0; });
    expect_close(run_everywhere("column_range_accumulate", {zero, x}, {}, 1)[0], ranges, 0);
    expect_close(run_everywhere("column_absmax_accumulate", {none_yet, x}, {}, 1)[0], absmax, 0);
  }
});

const Case late_cases("a failure that only the data shows is told by the next read with operation and shapes, the first of several, and the device goes on", [] {
  const Array table = normal(DType::F32, {9, 4}, 95);
  for (int round = 0; round < 3; ++round) {
    const std::string told = first_failure({{"embedding", {table, ints({3}, {1, 77, 78})}}, {"embedding", {table, ints({1}, {-2})}}});
    expect(told == "embedding of F32[9, 4] I32[3]: token id 77 at position 1 is outside the vocabulary of 9", told);
    expect_close(run("embedding", {table, ints({1}, {0})}, {}, 1)[0], {table.at(0), table.at(1), table.at(2), table.at(3)}, 0);
  }
});

}  // namespace
