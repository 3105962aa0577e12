// AWQ (Lin et al., arXiv 2306.00978): scales from the mean magnitude of the inputs and, with duo scaling, of the normalised weights.
//
//   paper   here     shape   meaning
//   s_X     x        I       mean of |X_j| over all calibration tokens (column_abs_sum_accumulate: its sum)
//           w        I       mean over all rows of |W_rj| / (max |W| of the cell that shares a scale + 1e-6) (awq_weight_sum_accumulate: its sum)
//   α       ratio            exponent, one point of the grid
//   s       s        I       x^α; with w: x^α / (w^(1-α) + 1e-4); at least 1e-4, then / sqrt(max(s) · min(s)); what is not finite becomes 1
//
// The steps before a sum are rounded to the dtype of the weight, as llm-compressor 0.13 does them (modifiers/transform/awq/base.py); sums are double.
// squared_error_accumulate: Σ (a − b)² of the parent's outputs, the loss of a point of the grid; in double, by fixed chunks and lanes.
// Cost: T · I, O · I, I, O · I, and 3 · T · O.
#include "transforms/awq.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "core/vector-math.h"
#include "quantizers/grid.h"

namespace bitwright {
namespace {

constexpr float smallest_cell = 1e-6f;
constexpr double smallest_weight = 1e-4, smallest_scale = 1e-4;

/// max |W| of every cell, in the order of the scale tensor. Rows are compared apart: a maximum does not depend on the order.
template <class T>
std::vector<float> cell_maxima(Pool& pool, const Cells& cells, const typename T::Stored* weight) {
  std::vector<float> maxima(static_cast<size_t>(cells.rows * cells.n_groups));
  pool.parallel_chunks(cells.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t g = 0; g < cells.n_groups; ++g) {
        float most = 0;
        for (int64_t c = g * cells.group_size; c < (g + 1) * cells.group_size; ++c) most = std::max(most, std::fabs(T::load(weight[r * cells.columns + c])));
        maxima[static_cast<size_t>(r * cells.n_groups + g)] = most;
      }
  });
  if (cells.strategy == Cells::Strategy::tensor && !maxima.empty()) std::fill(maxima.begin(), maxima.end(), *std::max_element(maxima.begin(), maxima.end()));
  return maxima;
}

constexpr int64_t error_chunk = 1 << 14;

BITWRIGHT_VECTOR double squared_error(const float* a, const float* b, int64_t n) {
  double lanes[n_lanes] = {};
  int64_t i = 0;
  for (; i + n_lanes <= n; i += n_lanes)
    for (int lane = 0; lane < n_lanes; ++lane) {
      const double difference = static_cast<double>(a[i + lane]) - static_cast<double>(b[i + lane]);
      lanes[lane] += difference * difference;
    }
  for (; i < n; ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    lanes[0] += difference * difference;
  }
  double sum = 0;
  for (int lane = 0; lane < n_lanes; ++lane) sum += lanes[lane];
  return sum;
}

}  // namespace

Operation column_abs_sum_accumulate_operation() {
  return {"column_abs_sum_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[0].dtype != DType::F64 || in[1].dtype != DType::F32 || in[1].shape.size() != 2 || in[0].shape != Shape{in[1].shape[1]}) return mismatch("sums F64 [I] and x F32 [T, I]", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t T = in[1].extent(0), I = in[1].extent(1);
            double* sums = in[0].as<double>();
            const float* x = in[1].as<float>();
            context.pool.parallel_chunks(I, 256, [&](int64_t begin, int64_t end) {
              for (int64_t t = 0; t < T; ++t)
                for (int64_t c = begin; c < end; ++c) sums[c] += static_cast<double>(std::fabs(x[t * I + c]));
            });
            return Status::fine();
          }};
}

Operation awq_weight_sum_accumulate_operation() {
  return {"awq_weight_sum_accumulate",
          [](const Specs& in, const Options& options, Specs&) {
            if (in.size() != 2 || in[0].dtype != DType::F64 || !is_weight(in[1].dtype) || in[1].shape.size() != 2 || in[0].shape != Shape{in[1].shape[1]}) return mismatch("sums F64 [I] and weight [O, I]", in);
            Cells cells;
            if (Status status = Cells::from(options, in[1].shape, cells); !status.ok()) return status;
            return cells.strategy == Cells::Strategy::block ? Status::error("AWQ takes its sums over tensors, rows and groups, not over blocks") : Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options& options) {
            Cells cells;
            if (Status status = Cells::from(options, in[1].shape, cells); !status.ok()) return status;
            double* sums = in[0].as<double>();
            with_weight_type(in[1].dtype, [&](auto type) {
              using T = decltype(type);
              const auto* weight = in[1].as<typename T::Stored>();
              const std::vector<float> maxima = cell_maxima<T>(context.pool, cells, weight);
              context.pool.parallel_chunks(cells.columns, 256, [&](int64_t begin, int64_t end) {
                for (int64_t r = 0; r < cells.rows; ++r)
                  for (int64_t c = begin; c < end; ++c) {
                    const float most = maxima[static_cast<size_t>(r * cells.n_groups + c / cells.group_size)];
                    sums[c] += static_cast<double>(rounded_to<T>(std::fabs(T::load(weight[r * cells.columns + c])) / rounded_to<T>(most + smallest_cell)));
                  }
              });
            });
            return Status::fine();
          }};
}

Operation awq_scales_operation() {
  return {"awq_scales",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || in[0].dtype != DType::F64 || in[0].shape.size() != 1 || (in[1].present && (in[1].dtype != DType::F64 || in[1].shape != in[0].shape))) return mismatch("x_sum F64 [I] and w_sum F64 [I] or none", in);
            if (!(options.number("n_tokens") > 0) || (in[1].present && !(options.number("n_rows") > 0))) return Status::error("a mean needs tokens and rows");
            if (!(options.number("ratio", -1) >= 0 && options.number("ratio", -1) <= 1)) return Status::error("ratio is not between 0 and 1");
            out = {{DType::F32, in[0].shape}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options& options) {
            const int64_t I = in[0].count();
            const double ratio = options.number("ratio"), n_tokens = options.number("n_tokens"), n_rows = options.number("n_rows");
            std::vector<double> s(static_cast<size_t>(I));
            double least = INFINITY, most = 0;
            for (int64_t i = 0; i < I; ++i) {
              const double x = in[0].as<double>()[i] / n_tokens;
              if (!std::isfinite(x)) return Status::error("the mean input of channel " + std::to_string(i) + " is not finite");
              double value = std::pow(x, ratio);
              if (in[1].present) value /= std::pow(in[1].as<double>()[i] / n_rows, 1 - ratio) + smallest_weight;
              value = std::max(value, smallest_scale);
              s[static_cast<size_t>(i)] = value;
              least = std::min(least, value);
              most = std::max(most, value);
            }
            const double middle = std::sqrt(most * least);
            for (int64_t i = 0; i < I; ++i) {
              const float value = static_cast<float>(s[static_cast<size_t>(i)] / middle);
              out[0].as<float>()[i] = std::isfinite(value) ? value : 1.0f;
            }
            return Status::fine();
          }};
}

Operation divide_columns_operation() {
  return {"divide_columns",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].count() != in[0].shape[1]) return mismatch("weight [O, I] and s F32 [I]", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            const float* s = in[1].as<float>();
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              const auto* x = in[0].as<typename T::Stored>();
              auto* y = out[0].as<typename T::Stored>();
              context.pool.parallel_chunks(O, 64, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r)
                  for (int64_t c = 0; c < I; ++c) y[r * I + c] = T::store(T::load(x[r * I + c]) / s[c]);
              });
            });
            return Status::fine();
          }};
}

Operation squared_error_accumulate_operation() {
  return {"squared_error_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 3 || in[0].dtype != DType::F64 || in[0].shape != Shape{1} || in[1].dtype != DType::F32 || in[2].dtype != DType::F32 || in[1].shape != in[2].shape)
              return mismatch("sum F64 [1] and two F32 tensors of one shape", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t n = in[1].count(), n_chunks = (n + error_chunk - 1) / error_chunk;
            std::vector<double> partials(static_cast<size_t>(n_chunks));
            context.pool.parallel_for(n_chunks, [&](int64_t chunk) {
              const int64_t begin = chunk * error_chunk;
              partials[static_cast<size_t>(chunk)] = squared_error(in[1].as<float>() + begin, in[2].as<float>() + begin, std::min(error_chunk, n - begin));
            });
            for (double partial : partials) in[0].as<double>()[0] += partial;
            return Status::fine();
          }};
}

}  // namespace bitwright
