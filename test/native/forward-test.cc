// Forward operations against float64 references, on edge shapes: 1 and 65 rows, odd widths, grouped heads, windows.
// Bounds: F32 sums of n products err by at most n · 2^-24 relative to Σ|products|; 1e-5 of the largest value covers the shapes here.
#include "core/operations.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

constexpr double bound = 1e-5;

const Case linear_cases("linear agrees with float64 for 1, 65 and 300 tokens, odd widths, BF16 and F32 weights, with and without bias", [] {
  for (int64_t T : {1, 65, 300})
    for (const Shape& weight : {Shape{1, 7}, Shape{65, 33}, Shape{172, 64}, Shape{513, 129}})
      for (DType dtype : {DType::F32, DType::BF16})
        for (bool with_bias : {false, true}) {
          const Array x = normal(DType::F32, {T, weight[1]}, 1), w = normal(dtype, weight, 2), b = with_bias ? normal(DType::F32, {weight[0]}, 3) : none();
          std::vector<double> reference;
          for (int64_t t = 0; t < T; ++t)
            for (int64_t o = 0; o < weight[0]; ++o) {
              double sum = with_bias ? b.at(o) : 0;
              for (int64_t i = 0; i < weight[1]; ++i) sum += x.at(t, i) * w.at(o, i);
              reference.push_back(sum);
            }
          expect_close(run_everywhere("linear", {x, w, b}, {})[0], reference, bound);
        }
});

const Case norm_cases("rmsnorm agrees with float64 over rows and over heads", [] {
  for (int64_t T : {1, 65})
    for (int64_t heads : {1, 4})
      for (int64_t width : {1, 7, 64}) {
        const Array x = normal(DType::F32, {T, heads * width}, 4), w = normal(DType::BF16, {width}, 5);
        std::vector<double> reference;
        for (int64_t run_index = 0; run_index < T * heads; ++run_index) {
          double sum = 0;
          for (int64_t i = 0; i < width; ++i) sum += x.at(run_index * width + i) * x.at(run_index * width + i);
          for (int64_t i = 0; i < width; ++i) reference.push_back(x.at(run_index * width + i) / std::sqrt(sum / static_cast<double>(width) + 1e-5) * w.at(i));
        }
        expect_close(run_everywhere("rmsnorm", {x, w}, options({{"eps", 1e-5}}))[0], reference, bound);
      }
});

const Case silu_cases("silu_mul agrees with float64 from -200 to 200", [] {
  const Array gate = array_of(DType::F32, {401, 1}, [](int64_t i) { return static_cast<double>(i) - 200; }), up = normal(DType::F32, {401, 1}, 6);
  std::vector<double> reference;
  for (int64_t i = 0; i < 401; ++i) reference.push_back(gate.at(i) / (1 + std::exp(-gate.at(i))) * up.at(i));
  expect_close(run_everywhere("silu_mul", {gate, up}, {})[0], reference, 1e-6);
});

const Case rope_cases("rope rotates pairs of the half-split layout and leaves the rest", [] {
  const int64_t T = 65, heads = 3, head_dim = 10, pairs = 4;
  const Array x = normal(DType::F32, {T, heads * head_dim}, 7);
  const Array cos = array_of(DType::F32, {T, pairs}, [](int64_t i) { return std::cos(0.1 * static_cast<double>(i)); });
  const Array sin = array_of(DType::F32, {T, pairs}, [](int64_t i) { return std::sin(0.1 * static_cast<double>(i)); });
  const Array positions = array_of(DType::I32, {T}, [](int64_t t) { return static_cast<double>(64 - t); });
  std::vector<double> reference;
  for (int64_t t = 0; t < T; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < head_dim; ++i) {
        const int64_t p = static_cast<int64_t>(positions.at(t)), base = h * head_dim;
        if (i < pairs) reference.push_back(x.at(t, base + i) * cos.at(p, i) - x.at(t, base + i + pairs) * sin.at(p, i));
        else if (i < 2 * pairs) reference.push_back(x.at(t, base + i) * cos.at(p, i - pairs) + x.at(t, base + i - pairs) * sin.at(p, i - pairs));
        else reference.push_back(x.at(t, base + i));
      }
  expect_close(run_everywhere("rope", {x, cos, sin, positions}, options({{"head_dim", 10.0}}))[0], reference, 1e-6);
});

void check_attention(int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t window, const std::vector<int32_t>& offsets) {
  const int64_t T = offsets.back(), width = n_heads * head_dim, kv_width = n_kv_heads * head_dim;
  const Array q = normal(DType::F32, {T, width}, 8), k = normal(DType::F32, {T, kv_width}, 9), v = normal(DType::F32, {T, kv_width}, 10);
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  std::vector<double> reference(static_cast<size_t>(T * width));
  for (size_t d = 0; d + 1 < offsets.size(); ++d)
    for (int64_t t = offsets[d]; t < offsets[d + 1]; ++t)
      for (int64_t h = 0; h < n_heads; ++h) {
        const int64_t kv = h / (n_heads / n_kv_heads) * head_dim;
        const int64_t first = window > 0 ? std::max<int64_t>(offsets[d], t - window + 1) : offsets[d];
        std::vector<double> weights;
        double total = 0;
        for (int64_t s = first; s <= t; ++s) {
          double dot = 0;
          for (int64_t i = 0; i < head_dim; ++i) dot += q.at(t, h * head_dim + i) * k.at(s, kv + i);
          weights.push_back(std::exp(dot * scale));
          total += weights.back();
        }
        for (int64_t i = 0; i < head_dim; ++i) {
          double sum = 0;
          for (int64_t s = first; s <= t; ++s) sum += weights[static_cast<size_t>(s - first)] * v.at(s, kv + i);
          reference[static_cast<size_t>(t * width + h * head_dim + i)] = sum / total;
        }
      }
  const Options all = options({{"n_heads", static_cast<double>(n_heads)}, {"n_kv_heads", static_cast<double>(n_kv_heads)}, {"head_dim", static_cast<double>(head_dim)}, {"scale", scale}, {"sliding_window", static_cast<double>(window)}});
  const Array positions = ints({static_cast<int64_t>(offsets.size())}, offsets);
  expect_close(run_everywhere("attention", {q, k, v, positions}, all)[0], reference, bound);
}

const Case attention_cases("attention agrees with float64 for small and large heads, groups, windows and packed documents", [] {
  for (int64_t head_dim : {8, 32, 40})
    for (int64_t window : {0, 1, 16}) {
      check_attention(4, 2, head_dim, window, {0, 1, 66, 66, 200});
      check_attention(3, 3, head_dim, window, {0, 65});
    }
});

const Case query_range_cases("attention of queries that are given a range at a time has the bits of all at once, and a range behind the keys is refused", [] {
  for (int64_t head_dim : {8, 40, 200})
    for (double window : {0.0, 20.0}) {
      const int64_t T = 200, width = 4 * head_dim;
      const Array q = normal(DType::F32, {T, width}, 81), k = normal(DType::F32, {T, 2 * head_dim}, 82), v = normal(DType::F32, {T, 2 * head_dim}, 83), offsets = ints({2}, {0, 200});
      const auto options_of = [&](int64_t first_query) {
        return options({{"n_heads", 4.0}, {"n_kv_heads", 2.0}, {"head_dim", static_cast<double>(head_dim)}, {"scale", 0.2}, {"sliding_window", window}, {"first_query", static_cast<double>(first_query)}});
      };
      const std::vector<uint8_t> whole = run_everywhere("attention", {q, k, v, offsets}, options_of(0))[0].bytes;
      std::vector<uint8_t> parts;
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 64}, {64, 192}, {192, 200}}) {
        const Array range = array_of(DType::F32, {end - begin, width}, [&, first = begin * width](int64_t i) { return q.at(first + i); });
        const std::vector<uint8_t> part = run_everywhere("attention", {range, k, v, offsets}, options_of(begin))[0].bytes;
        parts.insert(parts.end(), part.begin(), part.end());
      }
      expect(parts == whole, "heads of " + std::to_string(head_dim) + ", window " + std::to_string(window));
      bitwright::Specs results;
      expect(!bitwright::find_operation("attention")->infer({q.spec, k.spec, v.spec, offsets.spec}, options_of(1), results).ok(), "200 queries from the second token on");
    }
});

const Case entropy_cases("cross_entropy agrees with float64, skips -1, and is large where the target is unlikely", [] {
  const int64_t T = 65, V = 5001;
  const Array logits = normal(DType::F32, {T, V}, 11, 20);
  const Array targets = array_of(DType::I32, {T}, [](int64_t t) { return t % 7 == 0 ? -1.0 : static_cast<double>(t * 71 % 5001); });
  std::vector<double> reference;
  for (int64_t t = 0; t < T; ++t) {
    double peak = -1e300, total = 0;
    for (int64_t i = 0; i < V; ++i) peak = std::fmax(peak, logits.at(t, i));
    for (int64_t i = 0; i < V; ++i) total += std::exp(logits.at(t, i) - peak);
    reference.push_back(targets.at(t) < 0 ? 0 : std::log(total) + peak - logits.at(t, static_cast<int64_t>(targets.at(t))));
  }
  expect_close(run_everywhere("cross_entropy", {logits, targets}, {})[0], reference, 1e-6);
});

const Case embedding_cases("embedding copies rows and refuses ids outside the vocabulary", [] {
  const Array table = normal(DType::BF16, {9, 5}, 12);
  std::vector<double> reference;
  for (int32_t id : {8, 0, 3})
    for (int64_t i = 0; i < 5; ++i) reference.push_back(table.at(id, i));
  expect_close(run_everywhere("embedding", {table, ints({3}, {8, 0, 3})}, {})[0], reference, 0);
  expect_refused("embedding", {table, ints({1}, {9})}, {}, "token id 9 at position 0");
});

const Case refusal_cases("misuse is refused with the shapes", [] {
  expect_refused("linear", {normal(DType::F32, {2, 3}, 1), normal(DType::F32, {4, 5}, 2), none()}, {}, "F32[4, 5]");
  expect_refused("no_such_operation", {}, {}, "no operation named no_such_operation");
});

}  // namespace
