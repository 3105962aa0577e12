// How far the next-token distribution of one model is from another's, row by row: what evaluation and sensitivity are made of.
//
//   P, Q    softmax of the original's logits and of the other's
//   column  0: KL(P ‖ Q) = Σ P (log P − log Q), nats    1: log P[target]    2: log Q[target]    3: 1 where both have the same largest logit
//
// Rows with target -1 are zeros. Differences of logits are taken before they are weighed, so that two near models lose no digits; sums of 4096 in
// float lanes, then double. Cost: 2 · T · V exponentials more than two cross entropies.
#include <algorithm>

#include "core/vector-math.h"
#include "forward/divergence.h"
#include "forward/forward.h"
#include "forward/log-sum-exp.h"

namespace bitwright {
namespace {

BITWRIGHT_VECTOR void weigh(const float* p, const float* q, int64_t n, float peak, double offset, Weighed& sums) {
  const float shift = static_cast<float>(offset);
  sums = {};
  for (int64_t begin = 0; begin < n; begin += 4096) {
    const int64_t end = std::min<int64_t>(n, begin + 4096);
    float total[n_lanes] = {}, difference[n_lanes] = {}, other[n_lanes] = {}, bent[n_lanes] = {};
    int64_t i = begin;
    for (; i + n_lanes <= end; i += n_lanes)
      for (int lane = 0; lane < n_lanes; ++lane) {
        const float w = exp_lane(p[i + lane] - peak), d = (p[i + lane] - q[i + lane]) - shift, e = exp_lane(-d);
        total[lane] += w;
        difference[lane] += w * d;
        other[lane] += w * e;
        bent[lane] += w * curved(d, e);
      }
    for (; i < end; ++i) {
      const float w = exp_lane(p[i] - peak), d = (p[i] - q[i]) - shift, e = exp_lane(-d);
      total[0] += w;
      difference[0] += w * d;
      other[0] += w * e;
      bent[0] += w * curved(d, e);
    }
    for (int lane = 0; lane < n_lanes; ++lane) {
      sums.total += total[lane];
      sums.difference += difference[lane];
      sums.other += other[lane];
      sums.curved += bent[lane];
    }
  }
  // What rounding `shift` to float left out.
  sums.difference += (static_cast<double>(shift) - offset) * sums.total;
}

/// The first of the largest.
int64_t largest_at(const float* row, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i)
    if (is_larger(row[i], row[best])) best = i;
  return best;
}

Status check_targets(const int32_t* targets, int64_t T, int64_t V) {
  for (int64_t t = 0; t < T; ++t)
    if (targets[t] < -1 || targets[t] >= V) return Status::error("target " + std::to_string(targets[t]) + " is outside the vocabulary of " + std::to_string(V));
  return Status::fine();
}

}  // namespace

Operation logit_divergence_operation() {
  return {"logit_divergence",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 3 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].shape != in[0].shape || in[2].dtype != DType::I32 || in[2].count() != in[0].shape[0])
              return mismatch("logits F32 [T, V], logits F32 [T, V] and targets I32 [T]", in);
            out = {{DType::F64, {in[0].shape[0], 4}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t T = in[0].extent(0), V = in[0].extent(1);
            const int32_t* targets = in[2].as<int32_t>();
            if (const Status status = check_targets(targets, T, V); !status.ok()) return status;
            context.pool.parallel_chunks(T, 16, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                double* row = out[0].as<double>() + 4 * t;
                std::fill_n(row, 4, 0.0);
                if (targets[t] < 0) continue;
                const float *p = in[0].as<float>() + t * V, *q = in[1].as<float>() + t * V;
                const double log_p = log_sum_exp(p, V), log_q = log_sum_exp(q, V);
                const int64_t top = largest_at(p, V);
                Weighed sums;
                weigh(p, q, V, p[top], log_p - log_q, sums);
                row[0] = divergence(sums);
                row[1] = static_cast<double>(p[targets[t]]) - log_p;
                row[2] = static_cast<double>(q[targets[t]]) - log_q;
                row[3] = top == largest_at(q, V) ? 1 : 0;
              }
            });
            return Status::fine();
          }};
}

/// The first of the largest logits of each row: greedy decoding.
Operation argmax_operation() {
  return {"argmax",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[0].shape[1] < 1) return mismatch("logits F32 [T, V]", in);
            out = {{DType::I32, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t V = in[0].extent(1);
            context.pool.parallel_chunks(in[0].extent(0), 16, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) out[0].as<int32_t>()[t] = static_cast<int32_t>(largest_at(in[0].as<float>() + t * V, V));
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
