// Statistics that accumulate over calibration batches: the Hessian of a layer, ranges of columns, the range of a tensor.
//
//   hessian_accumulate        H ← decay · H + weight · xᵀ x      [I, I], F32; GPTQ's H is Σ 2 xᵀ x          cost T · I² / 2
//   column_range_accumulate   running minimum and maximum per column      [2, I], SmoothQuant               cost 2 · T · I
//   hessian_diagonal          diag(H) [I], Σ 2 x² per column: what imatrix weighs by                        cost I
//   range_accumulate          running minimum and maximum of everything   [2], static activations           cost 2 · T · I
//   weighted_accumulate       sum ← decay · sum + weight · x, each step rounded   statistics of several devices become one      cost 3 per element
#include <algorithm>

#include "core/gemm.h"
#include "core/operations.h"
#include "core/vector-math.h"
#include "observers/activation-scale.h"
#include "observers/column-moments.h"
#include "observers/cross-hessian.h"
#include "observers/fisher.h"
#include "observers/histogram-accumulate.h"

namespace bitwright {
namespace {

// A NaN compares false and would vanish from a range: the maximum takes it and keeps it, so that it is seen.
BITWRIGHT_VECTOR void extend_columns(const float* x, float* mn, float* mx, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    mn[i] = x[i] < mn[i] ? x[i] : mn[i];
    mx[i] = x[i] > mx[i] || x[i] != x[i] ? x[i] : mx[i];
  }
}

BITWRIGHT_VECTOR void add_weighted(float* sum, const float* x, int64_t n, float decay, float weight) {
  for (int64_t i = 0; i < n; ++i) sum[i] = decay * sum[i] + weight * x[i];
}

Status check_matrix(const Specs& in, const Shape& first, const std::string& expected) {
  if (in.size() != 2 || in[0].dtype != DType::F32 || in[1].dtype != DType::F32 || in[1].shape.size() != 2 || in[0].shape != first) return mismatch(expected, in);
  return Status::fine();
}

Operation hessian_accumulate_operation() {
  return {"hessian_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[1].shape.size() != 2) return mismatch("H F32 [I, I] and x F32 [T, I]", in);
            return check_matrix(in, {in[1].shape[1], in[1].shape[1]}, "H F32 [I, I] and x F32 [T, I]");
          },
          [](RunContext& context, const Views& in, const Views&, const Options& options) {
            const int64_t I = in[1].extent(1);
            syrk_tn(context.pool, I, in[1].extent(0), static_cast<float>(options.number("weight", 1)), in[1].as<float>(), I, static_cast<float>(options.number("decay", 1)), in[0].as<float>(), I);
            return Status::fine();
          }};
}

Operation hessian_diagonal_operation() {
  return {"hessian_diagonal",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[0].shape[0] != in[0].shape[1]) return mismatch("H F32 [I, I]", in);
            out = {{DType::F32, {in[0].shape[1]}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            const int64_t I = in[0].extent(1);
            for (int64_t i = 0; i < I; ++i) out[0].as<float>()[i] = in[0].as<float>()[i * I + i];
            return Status::fine();
          }};
}

Operation column_range_accumulate_operation() {
  return {"column_range_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[1].shape.size() != 2) return mismatch("ranges F32 [2, I] and x F32 [T, I]", in);
            return check_matrix(in, {2, in[1].shape[1]}, "ranges F32 [2, I] and x F32 [T, I]");
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t T = in[1].extent(0), I = in[1].extent(1);
            float *mn = in[0].as<float>(), *mx = mn + I;
            context.pool.parallel_chunks(I, 256, [&](int64_t begin, int64_t end) {
              for (int64_t t = 0; t < T; ++t) extend_columns(in[1].as<float>() + t * I + begin, mn + begin, mx + begin, end - begin);
            });
            return Status::fine();
          }};
}

Operation range_accumulate_operation() {
  return {"range_accumulate",
          [](const Specs& in, const Options&, Specs&) { return check_matrix(in, {2}, "range F32 [2] and x F32 [T, I]"); },
          [](RunContext&, const Views& in, const Views&, const Options&) {
            float* range = in[0].as<float>();
            const int64_t n = in[1].count();
            const float* x = in[1].as<float>();
            float mn[n_lanes], mx[n_lanes];
            std::fill_n(mn, n_lanes, range[0]);
            std::fill_n(mx, n_lanes, range[1]);
            int64_t i = 0;
            for (; i + n_lanes <= n; i += n_lanes) extend_columns(x + i, mn, mx, n_lanes);
            for (; i < n; ++i) extend_columns(x + i, mn, mx, 1);
            for (int lane = 0; lane < n_lanes; ++lane) {
              range[0] = std::min(range[0], mn[lane]);
              range[1] = mx[lane] > range[1] || mx[lane] != mx[lane] ? mx[lane] : range[1];
            }
            return Status::fine();
          }};
}

Operation weighted_accumulate_operation() {
  return {"weighted_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[0].dtype != DType::F32 || in[1].dtype != DType::F32 || in[0].shape != in[1].shape) return mismatch("sum and x F32 of one shape", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options& options) {
            const float decay = static_cast<float>(options.number("decay", 1)), weight = static_cast<float>(options.number("weight", 1));
            context.pool.parallel_chunks(in[0].count(), 1 << 15, [&](int64_t begin, int64_t end) { add_weighted(in[0].as<float>() + begin, in[1].as<float>() + begin, end - begin, decay, weight); });
            return Status::fine();
          }};
}

}  // namespace

OperationList observer_operations() {
  return {hessian_accumulate_operation(),  hessian_diagonal_operation(),     column_range_accumulate_operation(), range_accumulate_operation(), weighted_accumulate_operation(),
          activation_scale_operation(),   column_moments_operation(),       cross_hessian_accumulate_operation(), histogram_accumulate_operation(), fisher_accumulate_operation()};
}

}  // namespace bitwright
