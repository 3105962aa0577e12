// Cross entropy per row: log Σ e^(z - max) + max - z[target], in nats; rows with target -1 count 0. Sums of rows in double. Cost: T · V exponentials.
// Its gradient for the logits: softmax(z) − 1 at the target, zeros in a row without one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/vector-math.h"
#include "forward/forward.h"
#include "forward/log-sum-exp.h"

namespace bitwright {

BITWRIGHT_VECTOR double log_sum_exp(const float* row, int64_t n) {
  float peak = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < n; ++i) peak = row[i] > peak ? row[i] : peak;
  // Sums of 4096 in float lanes, then double: the error stays at 1e-7 for any vocabulary.
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    const int64_t end = std::min<int64_t>(n, begin + 4096);
    float lanes[n_lanes] = {};
    int64_t i = begin;
    for (; i + n_lanes <= end; i += n_lanes)
      for (int lane = 0; lane < n_lanes; ++lane) lanes[lane] += exp_lane(row[i + lane] - peak);
    for (; i < end; ++i) lanes[0] += exp_lane(row[i] - peak);
    for (float lane : lanes) total += lane;
  }
  return std::log(total) + static_cast<double>(peak);
}

namespace {

BITWRIGHT_VECTOR void softmax_of(const float* row, double log_sum, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = exp_lane(static_cast<float>(static_cast<double>(row[i]) - log_sum));
}

/// work(number of the row, the row, V, target) over all rows, when all targets are in the vocabulary or -1.
template <class Work>
Status over_rows(RunContext& context, const Views& in, const Work& work) {
  const int64_t T = in[0].extent(0), V = in[0].extent(1);
  const int32_t* targets = in[1].as<int32_t>();
  for (int64_t t = 0; t < T; ++t)
    if (targets[t] < -1 || targets[t] >= V) return Status::error("target " + std::to_string(targets[t]) + " is outside the vocabulary of " + std::to_string(V));
  context.pool.parallel_chunks(T, 32, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) work(t, in[0].as<float>() + t * V, V, targets[t]);
  });
  return Status::fine();
}

}  // namespace

Operation cross_entropy_operation() {
  return {"cross_entropy",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[1].dtype != DType::I32 || in[1].count() != in[0].shape[0])
              return mismatch("logits F32 [T, V] and targets I32 [T]", in);
            out = {{DType::F64, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            return over_rows(context, in, [&](int64_t t, const float* row, int64_t V, int32_t target) {
              out[0].as<double>()[t] = target < 0 ? 0.0 : log_sum_exp(row, V) - static_cast<double>(row[target]);
            });
          }};
}

Operation cross_entropy_backward_operation() {
  return {"cross_entropy_backward",
          [](const Specs& in, const Options& options, Specs& out) {
            Status status = cross_entropy_operation().infer(in, options, out);
            if (status.ok()) out = {in[0]};
            return status;
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            return over_rows(context, in, [&](int64_t t, const float* row, int64_t V, int32_t target) {
              float* gradient = out[0].as<float>() + t * V;
              if (target < 0) {
                std::fill_n(gradient, V, 0.0f);
                return;
              }
              softmax_of(row, log_sum_exp(row, V), gradient, V);
              gradient[target] -= 1.0f;
            });
          }};
}

}  // namespace bitwright
