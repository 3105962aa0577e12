// Gradients of the forward operations: against the formula in float64, and against central differences of the forward formula in float64, which knows nothing of
// that formula. Bounds as in forward-test.cc for the first. Central differences with step h err by h² · f''' / 6 and by 2^-53 · |f| / h: with h = 1e-5 and sums below
// 1e4 that is under 1e-6 of the largest gradient, and F32 results add 1e-5.
#include <algorithm>

#include "runner.h"

using namespace bitwright_test;

namespace {

constexpr double bound = 1e-5;

using Values = std::vector<double>;

Values values_of(const Array& array) {
  Values values;
  for (int64_t i = 0; i < array.spec.count(); ++i) values.push_back(array.at(i));
  return values;
}

double dot(const Values& a, const Array& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b.at(static_cast<int64_t>(i));
  return sum;
}

/// Of Σ f(x) · dy for every element of x.
Values central_differences(Values x, const Array& dy, const std::function<Values(const Values&)>& f) {
  constexpr double h = 1e-5;
  Values gradient;
  for (double& value : x) {
    const double at = value;
    value = at + h;
    const double above = dot(f(x), dy);
    value = at - h;
    gradient.push_back((above - dot(f(x), dy)) / (2 * h));
    value = at;
  }
  return gradient;
}

Values norm(const Values& x, const Array& w, double eps) {
  const size_t width = static_cast<size_t>(w.spec.count());
  Values y;
  for (size_t begin = 0; begin < x.size(); begin += width) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i) squares += x[begin + i] * x[begin + i];
    for (size_t i = 0; i < width; ++i) y.push_back(x[begin + i] / std::sqrt(squares / static_cast<double>(width) + eps) * w.at(static_cast<int64_t>(i)));
  }
  return y;
}

const Case norm_cases("rmsnorm_backward agrees with float64 and with central differences, over rows and over heads", [] {
  const double eps = 1e-3;
  for (int64_t T : {1, 65})
    for (int64_t heads : {1, 4})
      for (int64_t width : {1, 7, 64}) {
        const Array x = normal(DType::F32, {T, heads * width}, 1), w = normal(DType::BF16, {width}, 2), dy = normal(DType::F32, {T, heads * width}, 3);
        Values reference;
        for (int64_t run_index = 0; run_index < T * heads; ++run_index) {
          double squares = 0, products = 0;
          for (int64_t i = 0, at = run_index * width; i < width; ++i) squares += x.at(at + i) * x.at(at + i), products += x.at(at + i) * dy.at(at + i) * w.at(i);
          const double r = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
          for (int64_t i = 0, at = run_index * width; i < width; ++i) reference.push_back(r * w.at(i) * dy.at(at + i) - x.at(at + i) * r * r * r / static_cast<double>(width) * products);
        }
        const Array dx = run_everywhere("rmsnorm_backward", {x, w, dy}, options({{"eps", eps}}))[0];
        // A run of one column has two terms that cancel but for eps.
        double terms = 0;
        for (int64_t i = 0; i < x.spec.count(); ++i) terms = std::max(terms, std::fabs(w.at(i % width) * dy.at(i)) / std::sqrt(std::fabs(x.at(i)) * std::fabs(x.at(i)) / static_cast<double>(width) + eps));
        expect_close(dx, reference, bound, 1e-6 * terms);
        if (T == 1) expect_close(dx, central_differences(values_of(x), dy, [&](const Values& at) { return norm(at, w, eps); }), 2 * bound, 1e-6 * terms);
      }
});

const Case silu_cases("silu_mul_backward agrees with float64 from -200 to 200 and with central differences", [] {
  const Array gate = array_of(DType::F32, {401, 1}, [](int64_t i) { return static_cast<double>(i) - 200; }), up = normal(DType::F32, {401, 1}, 4), dy = normal(DType::F32, {401, 1}, 5);
  Values dgate, dup;
  for (int64_t i = 0; i < 401; ++i) {
    const double g = gate.at(i), s = 1 / (1 + std::exp(-g));
    dgate.push_back(dy.at(i) * up.at(i) * s * (1 + g * (1 - s)));
    dup.push_back(dy.at(i) * g * s);
  }
  const std::vector<Array> results = run_everywhere("silu_mul_backward", {gate, up, dy}, {});
  expect_close(results[0], dgate, bound);
  expect_close(results[1], dup, bound);
  const auto silu_mul = [](const Values& g, const Values& u) {
    Values y;
    for (size_t i = 0; i < g.size(); ++i) y.push_back(g[i] / (1 + std::exp(-g[i])) * u[i]);
    return y;
  };
  expect_close(results[0], central_differences(values_of(gate), dy, [&](const Values& at) { return silu_mul(at, values_of(up)); }), 2 * bound);
  expect_close(results[1], central_differences(values_of(up), dy, [&](const Values& at) { return silu_mul(values_of(gate), at); }), 2 * bound);
});

const Case linear_cases("linear_backward is dy W in float64, for BF16 and F32 weights", [] {
  for (int64_t T : {1, 65, 300})
    for (const Shape& shape : {Shape{1, 7}, Shape{65, 33}, Shape{172, 64}, Shape{513, 129}})
      for (DType dtype : {DType::F32, DType::BF16}) {
        const Array dy = normal(DType::F32, {T, shape[0]}, 6), w = normal(dtype, shape, 7);
        Values reference;
        for (int64_t t = 0; t < T; ++t)
          for (int64_t i = 0; i < shape[1]; ++i) {
            double sum = 0;
            for (int64_t o = 0; o < shape[0]; ++o) sum += dy.at(t, o) * w.at(o, i);
            reference.push_back(sum);
          }
        expect_close(run_everywhere("linear_backward", {dy, w}, {})[0], reference, bound);
      }
});

const Case rope_cases("rope with the sine negated is the gradient of rope: the scalar products agree", [] {
  const int64_t T = 65, heads = 3, head_dim = 10, pairs = 4;
  const Array x = normal(DType::F32, {T, heads * head_dim}, 8), dy = normal(DType::F32, {T, heads * head_dim}, 9);
  const auto table = [&](double sign, double (*f)(double)) { return array_of(DType::F32, {T, pairs}, [=](int64_t i) { return sign * 1.3 * f(0.1 * static_cast<double>(i)); }); };
  const Array positions = array_of(DType::I32, {T}, [](int64_t t) { return static_cast<double>(t); });
  const Options all = options({{"head_dim", static_cast<double>(head_dim)}});
  const Array y = run_everywhere("rope", {x, table(1, std::cos), table(1, std::sin), positions}, all)[0], dx = run_everywhere("rope", {dy, table(1, std::cos), table(-1, std::sin), positions}, all)[0];
  const double forward = dot(values_of(y), dy), backward = dot(values_of(dx), x);
  expect(std::fabs(forward - backward) < 1e-4 * std::fabs(forward), std::to_string(forward) + " forwards, " + std::to_string(backward) + " backwards");
});

struct Attention {
  int64_t n_heads, n_kv_heads, head_dim, window;
  std::vector<int32_t> offsets;
  double scale() const { return 1 / std::sqrt(static_cast<double>(head_dim)); }
  int64_t width() const { return n_heads * head_dim; }
  int64_t kv_width() const { return n_kv_heads * head_dim; }

  /// fn(query, head, first column of its key/value head, weights of the keys first … query).
  void for_rows(const Values& q, const Values& k, const std::function<void(int64_t, int64_t, int64_t, int64_t, const Values&)>& fn) const {
    for (size_t d = 0; d + 1 < offsets.size(); ++d)
      for (int64_t t = offsets[d]; t < offsets[d + 1]; ++t)
        for (int64_t h = 0; h < n_heads; ++h) {
          const int64_t kv = h / (n_heads / n_kv_heads) * head_dim, first = window > 0 ? std::max<int64_t>(offsets[d], t - window + 1) : offsets[d];
          Values P;
          double total = 0;
          for (int64_t s = first; s <= t; ++s) {
            double product = 0;
            for (int64_t i = 0; i < head_dim; ++i) product += q[static_cast<size_t>(t * width() + h * head_dim + i)] * k[static_cast<size_t>(s * kv_width() + kv + i)];
            P.push_back(std::exp(product * scale()));
            total += P.back();
          }
          for (double& p : P) p /= total;
          fn(t, h * head_dim, kv, first, P);
        }
  }

  Values forward(const Values& q, const Values& k, const Values& v) const {
    Values y(q.size());
    for_rows(q, k, [&](int64_t t, int64_t column, int64_t kv, int64_t first, const Values& P) {
      for (int64_t i = 0; i < head_dim; ++i)
        for (size_t s = 0; s < P.size(); ++s) y[static_cast<size_t>(t * width() + column + i)] += P[s] * v[static_cast<size_t>((first + static_cast<int64_t>(s)) * kv_width() + kv + i)];
    });
    return y;
  }
};

void check_attention(const Attention& shape) {
  const int64_t T = shape.offsets.back(), width = shape.width(), kv_width = shape.kv_width();
  const Array q = normal(DType::F32, {T, width}, 10), k = normal(DType::F32, {T, kv_width}, 11), v = normal(DType::F32, {T, kv_width}, 12), dy = normal(DType::F32, {T, width}, 13);
  const Values Q = values_of(q), K = values_of(k), V = values_of(v);
  Values dq(Q.size()), dk(K.size()), dv(V.size());
  shape.for_rows(Q, K, [&](int64_t t, int64_t column, int64_t kv, int64_t first, const Values& P) {
    Values dP(P.size());
    double mean = 0;
    for (size_t s = 0; s < P.size(); ++s) {
      for (int64_t i = 0; i < shape.head_dim; ++i) {
        const size_t key_at = static_cast<size_t>((first + static_cast<int64_t>(s)) * kv_width + kv + i);
        dP[s] += dy.at(t, column + i) * V[key_at];
        dv[key_at] += P[s] * dy.at(t, column + i);
      }
      mean += P[s] * dP[s];
    }
    for (size_t s = 0; s < P.size(); ++s)
      for (int64_t i = 0; i < shape.head_dim; ++i) {
        const size_t key_at = static_cast<size_t>((first + static_cast<int64_t>(s)) * kv_width + kv + i), query_at = static_cast<size_t>(t * width + column + i);
        const double dS = P[s] * (dP[s] - mean) * shape.scale();
        dq[query_at] += dS * K[key_at];
        dk[key_at] += dS * Q[query_at];
      }
  });
  const Options all = options({{"n_heads", static_cast<double>(shape.n_heads)}, {"n_kv_heads", static_cast<double>(shape.n_kv_heads)}, {"head_dim", static_cast<double>(shape.head_dim)}, {"scale", shape.scale()}, {"sliding_window", static_cast<double>(shape.window)}});
  const std::vector<Array> results = run_everywhere("attention_backward", {q, k, v, ints({static_cast<int64_t>(shape.offsets.size())}, shape.offsets), dy}, all);
  expect_close(results[0], dq, bound);
  expect_close(results[1], dk, bound);
  expect_close(results[2], dv, bound);
  if (T > 20) return;
  expect_close(results[0], central_differences(Q, dy, [&](const Values& at) { return shape.forward(at, K, V); }), 2 * bound);
  expect_close(results[1], central_differences(K, dy, [&](const Values& at) { return shape.forward(Q, at, V); }), 2 * bound);
  expect_close(results[2], central_differences(V, dy, [&](const Values& at) { return shape.forward(Q, K, at); }), 2 * bound);
}

const Case attention_cases("attention_backward agrees with float64 and with central differences for groups, windows and packed documents", [] {
  for (int64_t window : {0, 1, 16}) {
    // Documents longer than the threads of a block, then heads wider.
    check_attention({2, 1, 8, window, {0, 1, 66, 66, 200}});
    check_attention({4, 2, 200, window, {0, 1, 18, 18, 40}});
    check_attention({3, 3, 40, window, {0, 65}});
  }
  for (int64_t window : {0, 3}) check_attention({4, 2, 6, window, {0, 1, 8, 8, 13}});
});

const Case attention_misuse("attention_backward refuses documents that do not cover the tokens", [] {
  const Array x = normal(DType::F32, {6, 8}, 14);
  const Options all = options({{"n_heads", 2.0}, {"n_kv_heads", 2.0}, {"head_dim", 4.0}, {"scale", 0.5}, {"sliding_window", 0.0}});
  expect_refused("attention_backward", {x, x, x, ints({2}, {0, 5}), x}, all, "do not cover the 6 tokens");
  expect_refused("attention_backward", {x, x, x, ints({3}, {0, 7, 6}), x}, all, "document 1 ends before it begins");
});

const Case entropy_cases("cross_entropy_backward agrees with float64 and with central differences, and is zero where there is no target", [] {
  for (const auto& [T, V] : {std::pair<int64_t, int64_t>{65, 5001}, {5, 9}}) {
    const int64_t n = V;
    const Array logits = normal(DType::F32, {T, V}, 15, 5);
    const Array targets = array_of(DType::I32, {T}, [n](int64_t t) { return t % 4 == 0 ? -1.0 : static_cast<double>(t * 71 % n); });
    Values reference;
    for (int64_t t = 0; t < T; ++t) {
      double peak = -1e300, total = 0;
      for (int64_t i = 0; i < V; ++i) peak = std::fmax(peak, logits.at(t, i));
      for (int64_t i = 0; i < V; ++i) total += std::exp(logits.at(t, i) - peak);
      for (int64_t i = 0; i < V; ++i) reference.push_back(targets.at(t) < 0 ? 0 : std::exp(logits.at(t, i) - peak) / total - (targets.at(t) == static_cast<double>(i) ? 1 : 0));
    }
    const Array gradient = run_everywhere("cross_entropy_backward", {logits, targets}, {})[0];
    expect_close(gradient, reference, bound);
    const int64_t n_rows = T;
    if (V < 10)
      expect_close(gradient, central_differences(values_of(logits), array_of(DType::F64, {T}, [](int64_t) { return 1.0; }), [&](const Values& z) {
                     Values losses;
                     for (int64_t t = 0; t < n_rows; ++t) {
                       double total = 0;
                       for (int64_t i = 0; i < n; ++i) total += std::exp(z[static_cast<size_t>(t * n + i)]);
                       losses.push_back(targets.at(t) < 0 ? 0 : std::log(total) - z[static_cast<size_t>(t * n + static_cast<int64_t>(targets.at(t)))]);
                     }
                     return losses;
                   }),
                   2 * bound);
  }
  expect_refused("cross_entropy_backward", {normal(DType::F32, {1, 3}, 16), ints({1}, {3})}, {}, "target 3 is outside the vocabulary of 3");
});

const Case fisher_cases("fisher_accumulate adds the squares of dyᵀ x, and fisher_error weighs the squared errors of a weight with them", [] {
  for (int64_t T : {1, 65})
    for (const Shape& shape : {Shape{1, 7}, Shape{65, 33}, Shape{300, 129}}) {
      const Array F = array_of(DType::F32, shape, [](int64_t i) { return static_cast<double>(i % 3); }), dy = normal(DType::F32, {T, shape[0]}, 17), x = normal(DType::F32, {T, shape[1]}, 18);
      Values reference;
      for (int64_t o = 0; o < shape[0]; ++o)
        for (int64_t i = 0; i < shape[1]; ++i) {
          double sum = 0;
          for (int64_t t = 0; t < T; ++t) sum += dy.at(t, o) * x.at(t, i);
          reference.push_back(F.at(o, i) + sum * sum);
        }
      const Array summed = run_everywhere("fisher_accumulate", {F, dy, x}, {}, 1)[0];
      expect_close(summed, reference, bound);
      const Array W = normal(DType::BF16, shape, 19), What = normal(DType::F32, shape, 20);
      double error = 0, trace = 0;
      for (int64_t i = 0; i < summed.spec.count(); ++i) {
        error += summed.at(i) * (W.at(i) - What.at(i)) * (W.at(i) - What.at(i));
        trace += summed.at(i);
      }
      const Array found = run_everywhere("fisher_error", {W, What, summed}, {})[0];
      expect(std::fabs(found.at(0) - error) <= 1e-12 * error && std::fabs(found.at(1) - trace) <= 1e-12 * trace, "Σ F (W − Ŵ)² or Σ F");
    }
});

}  // namespace
