// Figures of the report: how far two tensors are apart, the output error of a layer, histograms and summaries. Sums in double, by fixed chunks.
//
//   compare         Σa², Σb², Σ(a-b)², Σab, max|a-b|, max|a|       → mse, SQNR = 10 log10(Σa² / Σ(a-b)²), cosine
//   hessian_error   tr(ΔW H ΔWᵀ), tr(W H Wᵀ)                       their quotient is the relative squared error of the layer's output (GPTQ's objective)
//   fisher_error    Σ F (W − Ŵ)², Σ F                              twice the predicted change of the loss, and the trace, of a diagonal F
//   histogram       counts over equal bins, then below and above
//   summary         count, NaNs, infinities, min, max, sum, Σx², max|x| of the finite values, index of the first value that is not finite
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/operations.h"

namespace bitwright {
namespace {

constexpr int64_t grain = 1 << 14;

/// Runs fn(begin, end, partial) over fixed chunks and adds the partial results in order of the chunks.
template <size_t n, class Fn, class Merge>
void reduce(Pool& pool, int64_t count, double (&totals)[n], const Fn& fn, const Merge& merge) {
  struct Partial {
    double values[n];
  };
  const int64_t n_chunks = (count + grain - 1) / grain;
  std::vector<Partial> partials(static_cast<size_t>(n_chunks));
  pool.parallel_for(n_chunks, [&](int64_t chunk) {
    Partial& partial = partials[static_cast<size_t>(chunk)];
    std::copy(totals, totals + n, partial.values);
    fn(chunk * grain, std::min(count, (chunk + 1) * grain), partial.values);
  });
  for (const Partial& partial : partials) merge(totals, partial.values);
}

Operation compare_operation() {
  return {"compare",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || !is_float(in[0].dtype) || !is_float(in[1].dtype) || in[0].shape != in[1].shape) return mismatch("two float tensors of one shape", in);
            out = {{DType::F64, {6}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            double totals[6] = {};
            reduce(
                context.pool, in[0].count(), totals,
                [&](int64_t begin, int64_t end, double* sums) {
                  std::vector<float> a(static_cast<size_t>(end - begin)), b(a.size());
                  floats_of(in[0], begin, end - begin, a.data());
                  floats_of(in[1], begin, end - begin, b.data());
                  for (size_t i = 0; i < a.size(); ++i) {
                    const double x = a[i], y = b[i], difference = x - y;
                    sums[0] += x * x;
                    sums[1] += y * y;
                    sums[2] += difference * difference;
                    sums[3] += x * y;
                    sums[4] = std::fmax(sums[4], std::fabs(difference));
                    sums[5] = std::fmax(sums[5], std::fabs(x));
                  }
                },
                [](double* all, const double* some) {
                  for (int i = 0; i < 4; ++i) all[i] += some[i];
                  for (int i = 4; i < 6; ++i) all[i] = std::fmax(all[i], some[i]);
                });
            std::copy(totals, totals + 6, out[0].as<double>());
            return Status::fine();
          }};
}

/// Σ rows of x (x H) in double.
double quadratic_form(Pool& pool, const std::vector<float>& x, int64_t rows, int64_t n, const float* H) {
  std::vector<float> product(x.size());
  gemm_nn(pool, rows, n, n, 1.0f, x.data(), n, H, n, 0.0f, product.data(), n);
  std::vector<double> sums(static_cast<size_t>(rows));
  pool.parallel_chunks(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < n; ++c) sum += static_cast<double>(x[static_cast<size_t>(r * n + c)]) * product[static_cast<size_t>(r * n + c)];
      sums[static_cast<size_t>(r)] = sum;
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

Operation hessian_error_operation() {
  return {"hessian_error",
          [](const Specs& in, const Options&, Specs& out) {
            const bool fits = in.size() == 3 && is_float(in[0].dtype) && is_float(in[1].dtype) && in[0].shape.size() == 2 && in[0].shape == in[1].shape && in[2].dtype == DType::F32 &&
                              in[2].shape == Shape{in[0].shape[1], in[0].shape[1]};
            if (!fits) return mismatch("W [O, I], What [O, I] and H F32 [I, I]", in);
            out = {{DType::F64, {2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t rows = in[0].extent(0), n = in[0].extent(1);
            std::vector<float> weight(static_cast<size_t>(rows * n)), error(weight.size());
            floats_of(in[0], 0, rows * n, weight.data());
            floats_of(in[1], 0, rows * n, error.data());
            for (size_t i = 0; i < weight.size(); ++i) error[i] = weight[i] - error[i];
            out[0].as<double>()[0] = quadratic_form(context.pool, error, rows, n, in[2].as<float>());
            out[0].as<double>()[1] = quadratic_form(context.pool, weight, rows, n, in[2].as<float>());
            return Status::fine();
          }};
}

Operation fisher_error_operation() {
  return {"fisher_error",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 3 || !is_float(in[0].dtype) || !is_float(in[1].dtype) || !is_float(in[2].dtype) || in[0].shape != in[1].shape || in[0].shape != in[2].shape)
              return mismatch("W, What and F, float tensors of one shape", in);
            out = {{DType::F64, {2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            double totals[2] = {};
            reduce(
                context.pool, in[0].count(), totals,
                [&](int64_t begin, int64_t end, double* sums) {
                  for (int64_t i = begin; i < end; ++i) {
                    const double error = element_of(in[0], i) - element_of(in[1], i), F = element_of(in[2], i);
                    sums[0] += F * error * error;
                    sums[1] += F;
                  }
                },
                [](double* all, const double* some) {
                  for (int i = 0; i < 2; ++i) all[i] += some[i];
                });
            std::copy(totals, totals + 2, out[0].as<double>());
            return Status::fine();
          }};
}

Operation histogram_operation() {
  return {"histogram",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t n_bins = options.integer("n_bins");
            if (in.size() != 1 || !is_float(in[0].dtype)) return mismatch("a float tensor", in);
            const double width = options.number("max") - options.number("min"), per_unit = static_cast<double>(n_bins) / width;
            // A width that its bins cannot divide would put the lower end at NaN bins.
            if (n_bins < 1 || n_bins > 1 << 20 || !(width > 0) || !std::isfinite(width) || !std::isfinite(per_unit))
              return Status::error("a histogram needs bins, and a range that is neither empty, nor infinite, nor too narrow for so many bins in double");
            out = {{DType::I64, {n_bins + 2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t n_bins = options.integer("n_bins");
            const double min = options.number("min"), max = options.number("max"), per_unit = static_cast<double>(n_bins) / (max - min);
            int64_t* counts = out[0].as<int64_t>();
            std::fill(counts, counts + n_bins + 2, 0);
            std::mutex mutex;  // counts are integers: the order of the chunks does not matter
            context.pool.parallel_chunks(in[0].count(), 1 << 16, [&](int64_t begin, int64_t end) {
              std::vector<int64_t> local(static_cast<size_t>(n_bins + 2));
              for (int64_t i = begin; i < end; ++i) {
                const double x = element_of(in[0], i);
                if (std::isnan(x)) continue;
                if (x < min) ++local[static_cast<size_t>(n_bins)];
                else if (x > max) ++local[static_cast<size_t>(n_bins + 1)];
                else ++local[static_cast<size_t>(std::min<int64_t>(n_bins - 1, static_cast<int64_t>((x - min) * per_unit)))];
              }
              std::lock_guard lock(mutex);
              for (size_t i = 0; i < local.size(); ++i) counts[i] += local[i];
            });
            return Status::fine();
          }};
}

Operation summary_operation() {
  return {"summary",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || !is_float(in[0].dtype)) return mismatch("a float tensor", in);
            out = {{DType::F64, {9}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            constexpr double infinity = std::numeric_limits<double>::infinity();
            double totals[9] = {0, 0, 0, infinity, -infinity, 0, 0, 0, -1};
            reduce(
                context.pool, in[0].count(), totals,
                [&](int64_t begin, int64_t end, double* sums) {
                  for (int64_t i = begin; i < end; ++i) {
                    const double x = element_of(in[0], i);
                    sums[0] += 1;
                    if (!std::isfinite(x)) {
                      sums[std::isnan(x) ? 1 : 2] += 1;
                      if (sums[8] < 0) sums[8] = static_cast<double>(i);
                      continue;
                    }
                    sums[3] = std::min(sums[3], x);
                    sums[4] = std::max(sums[4], x);
                    sums[5] += x;
                    sums[6] += x * x;
                    sums[7] = std::max(sums[7], std::fabs(x));
                  }
                },
                [](double* all, const double* some) {
                  for (int i : {0, 1, 2, 5, 6}) all[i] += some[i];
                  all[3] = std::min(all[3], some[3]);
                  all[4] = std::max(all[4], some[4]);
                  all[7] = std::max(all[7], some[7]);
                  if (all[8] < 0) all[8] = some[8];
                });
            std::copy(totals, totals + 9, out[0].as<double>());
            return Status::fine();
          }};
}

}  // namespace

OperationList metric_operations() { return {compare_operation(), hessian_error_operation(), fisher_error_operation(), histogram_operation(), summary_operation()}; }

}  // namespace bitwright
