// What compares and decodes next-token distributions, against float64 loops: divergence of logits, greedy choice, attention over kept keys and values.
#include <cmath>
#include <tuple>

#include "runner.h"

using namespace bitwright_test;

namespace {

double log_sum(const Array& logits, int64_t row) {
  double peak = -1e300, total = 0;
  for (int64_t i = 0; i < logits.spec.shape[1]; ++i) peak = std::fmax(peak, logits.at(row, i));
  for (int64_t i = 0; i < logits.spec.shape[1]; ++i) total += std::exp(logits.at(row, i) - peak);
  return std::log(total) + peak;
}

int64_t first_largest(const Array& logits, int64_t row) {
  int64_t best = 0;
  for (int64_t i = 1; i < logits.spec.shape[1]; ++i)
    if (logits.at(row, i) > logits.at(row, best)) best = i;
  return best;
}

const Case divergence_cases("logit_divergence is Σ P (log P - log Q), with both log-probabilities and the same choice", [] {
  const int64_t T = 33, V = 4999;
  const Array p = normal(DType::F32, {T, V}, 71, 4);
  for (double distance : {0.0, 1e-3, 1.0, 8.0, 60.0}) {
    const Array noise = normal(DType::F32, {T, V}, 72, 1);
    const Array q = array_of(DType::F32, {T, V}, [&](int64_t i) { return p.at(i) + distance * noise.at(i); });
    const Array targets = array_of(DType::I32, {T}, [](int64_t t) { return t % 5 == 0 ? -1.0 : static_cast<double>(t * 149 % 4999); });
    std::vector<double> divergence, rest;
    const Array result = run_everywhere("logit_divergence", {p, q, targets}, {})[0];
    for (int64_t t = 0; t < T; ++t) {
      if (targets.at(t) < 0) {
        for (int64_t i = 0; i < 4; ++i) expect(result.at(t, i) == 0, "a row without target is zeros");
        continue;
      }
      const double log_p = log_sum(p, t), log_q = log_sum(q, t);
      double sum = 0;
      for (int64_t i = 0; i < V; ++i) sum += std::exp(p.at(t, i) - log_p) * ((p.at(t, i) - log_p) - (q.at(t, i) - log_q));
      const int64_t target = static_cast<int64_t>(targets.at(t));
      expect(std::fabs(result.at(t, 0) - sum) <= 2e-5 * sum + 1e-12, "KL of row " + std::to_string(t) + " is " + std::to_string(result.at(t, 0) / sum) + " times what it should be");
      expect(std::fabs(result.at(t, 1) - (p.at(t, target) - log_p)) < 1e-5 && std::fabs(result.at(t, 2) - (q.at(t, target) - log_q)) < 1e-5, "log-probabilities of the target");
      expect(result.at(t, 3) == (first_largest(p, t) == first_largest(q, t) ? 1 : 0), "the same largest logit");
    }
  }
  const Array few = array_of(DType::F32, {1, 3}, [](int64_t i) { return static_cast<double>(i); });
  expect_refused("logit_divergence", {few, few, ints({1}, {3})}, {}, "target 3 is outside the vocabulary of 3");
  expect_refused("logit_divergence", {few, few, ints({2}, {0, 1})}, {}, "F32[1, 3]");
});

const Case argmax_cases("argmax is the first of the largest, and a NaN is larger", [] {
  const Array logits = array_of(DType::F32, {3, 4}, [](int64_t i) { return std::vector<double>{1, 5, 5, 2, -1, -1, -1, -1, 0, 9, NAN, 9}[static_cast<size_t>(i)]; });
  expect_close(run_everywhere("argmax", {logits}, {})[0], {1, 0, 2}, 0);
  expect_refused("argmax", {ints({2}, {0, 1})}, {}, "logits F32 [T, V]");
});

const Case cache_cases("store_rows writes the rows named and no other", [] {
  const Array cache = normal(DType::F32, {6, 3}, 73), x = normal(DType::F32, {2, 3}, 74);
  std::vector<double> reference;
  for (int64_t i = 0; i < 18; ++i) reference.push_back(cache.at(i));
  for (int64_t i = 0; i < 3; ++i) reference[static_cast<size_t>(12 + i)] = x.at(0, i), reference[static_cast<size_t>(3 + i)] = x.at(1, i);
  expect_close(run_everywhere("store_rows", {cache, x, ints({2}, {4, 1})}, {}, 1)[0], reference, 0);
  // Of tokens that name one row the last is kept.
  const Array many = normal(DType::F32, {70, 3}, 78), kept = run_everywhere("store_rows", {cache, many, ints({70}, std::vector<int32_t>(70, 5))}, {}, 1)[0];
  for (int64_t i = 0; i < 3; ++i) expect(kept.at(5, i) == many.at(69, i) && kept.at(4, i) == cache.at(4, i), "the last token of a row");
  expect_refused("store_rows", {cache, x, ints({2}, {0, 6})}, {}, "row 6 is outside the cache of 6");
});

const Case attention_cases("cached_attention is the last row of attention, for groups, windows and unequal lengths", [] {
  for (const auto& [window, head_dim, C] : {std::tuple{0.0, 4.0, 9}, {0.0, 40.0, 9}, {3.0, 4.0, 9}, {3.0, 40.0, 9}, {0.0, 4.0, 600}, {300.0, 4.0, 600}}) {
    const int64_t D = 3, width = 2 * static_cast<int64_t>(head_dim);
    const std::vector<int32_t> lengths{1, C, 5 * C / 9};
    const Array q = normal(DType::F32, {D, 2 * width}, 75), k = normal(DType::F32, {D * C, width}, 76), v = normal(DType::F32, {D * C, width}, 77);
    const Options all = options({{"n_heads", 4.0}, {"n_kv_heads", 2.0}, {"head_dim", head_dim}, {"scale", 0.3}, {"sliding_window", window}});
    const Array result = run_everywhere("cached_attention", {q, k, v, ints({D}, lengths)}, all)[0];
    for (int64_t d = 0; d < D; ++d) {
      const int64_t L = lengths[static_cast<size_t>(d)];
      const auto part = [&](const Array& from) { return array_of(DType::F32, {L, width}, [&](int64_t i) { return from.at(d * C * width + i); }); };
      // Of the queries only the last is asked for.
      const Array queries = array_of(DType::F32, {L, 2 * width}, [&](int64_t i) { return q.at(d, i % (2 * width)); });
      const Array whole = run("attention", {queries, part(k), part(v), ints({2}, {0, static_cast<int32_t>(L)})}, all, 1)[0];
      for (int64_t i = 0; i < 2 * width; ++i) expect(std::fabs(result.at(d, i) - whole.at(L - 1, i)) < 2e-6, "the last row of attention");
    }
    expect_refused("cached_attention", {q, k, v, ints({D}, {1, C + 1, 1})}, all, "length " + std::to_string(C + 1) + " is outside 1 to " + std::to_string(C));
  }
});

}  // namespace
