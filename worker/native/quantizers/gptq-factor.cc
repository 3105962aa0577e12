// The upper factor of the Hessian for GPTQ, with damping; and what goes with it: its inverse, column order and dead columns. Legend in gptq.h.
//
// With J the reversal of indices: J (H + damping) J = L Lᵀ, so H + damping = R Rᵀ for the upper R = J L J, and (H + damping)⁻¹ = Uᵀ U for U = R⁻¹ = J L⁻¹ J.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <vector>

#include "quantizers/gptq-column.h"
#include "quantizers/gptq.h"
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {
namespace {

Status square_hessian(const Specs& in) {
  if (in.empty() || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[0].shape[0] != in[0].shape[1]) return mismatch("a Hessian F32 [I, I]", in);
  return Status::fine();
}

/// The index-reversed lower triangle of A becomes the upper one, and below it stands 0: R = J L J. False when a value is not finite. A may be R.
template <class Real>
bool reverse_to_upper(Pool& pool, int64_t n, const Real* A, float* R) {
  std::atomic<bool> finite{true};
  // Strictly above the diagonal only what is below it is read, so that in place nothing is lost.
  pool.parallel_chunks(n, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Real* from = A + (n - 1 - i) * n + n - 1;
      for (int64_t j = i + 1; j < n; ++j) {
        R[i * n + j] = static_cast<float>(from[-j]);
        if (!std::isfinite(R[i * n + j])) finite = false;
      }
    }
  });
  for (int64_t i = 0; i < (n + 1) / 2; ++i) {
    const int64_t j = n - 1 - i;
    const float first = static_cast<float>(A[i * n + i]), last = static_cast<float>(A[j * n + j]);
    R[i * n + i] = last;
    R[j * n + j] = first;
    if (!std::isfinite(first) || !std::isfinite(last)) finite = false;
  }
  pool.parallel_chunks(n, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::fill_n(R + i * n, i, 0.0f);
  });
  return finite;
}

/// R itself is the matrix that is factored, unless that takes doubles.
template <class Real>
bool factor(RunContext& context, int64_t n, const float* H, const int32_t* permutation, double damping, float* R) {
  std::vector<Real> doubles;
  Real* A = nullptr;
  if constexpr (std::is_same_v<Real, float>) {
    A = R;
  } else {
    doubles.resize(static_cast<size_t>(n * n));
    A = doubles.data();
  }
  auto source = [&](int64_t i) { return reversed_column_at(permutation, n, i); };
  context.pool.parallel_chunks(n, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = H + source(i) * n;
      for (int64_t j = 0; j <= i; ++j) A[i * n + j] = static_cast<Real>(row[source(j)]);
      Real& diagonal = A[i * n + i];
      diagonal = static_cast<Real>((diagonal == 0 ? 1.0 : static_cast<double>(diagonal)) + damping);
    }
  });
  if (!cholesky_lower(context.pool, n, A) || context.cancelled()) return false;
  return reverse_to_upper(context.pool, n, A, R);
}

}  // namespace

Operation gptq_factor_operation() {
  return {"gptq_factor",
          [](const Specs& in, const Options& options, Specs& out) {
            if (Status status = square_hessian(in); !status.ok()) return status;
            if (in.size() != 2 || (in[1].present && (in[1].dtype != DType::I32 || in[1].count() != in[0].shape[0]))) return mismatch("H F32 [I, I] and a permutation I32 [I] or none", in);
            if (!(options.number("dampening_frac", -1) >= 0)) return Status::error("dampening_frac " + std::to_string(options.number("dampening_frac", -1)) + " is not a number of at least 0");
            out = {in[0], {DType::F64, {4}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t n = in[0].extent(0);
            const float* H = in[0].as<float>();
            if (Status status = check_permutation(in[1], n); !status.ok()) return status;
            double mean = 0;
            int64_t n_dead = 0;
            for (int64_t i = 0; i < n; ++i) {
              const float diagonal = H[i * n + i];
              if (!std::isfinite(diagonal) || diagonal < 0) return Status::error("diag(H) at column " + std::to_string(i) + " is " + std::to_string(diagonal));
              n_dead += diagonal == 0;
              mean += diagonal == 0 ? 1.0 : static_cast<double>(diagonal);
            }
            mean /= static_cast<double>(n);
            double fraction = options.number("dampening_frac");
            int64_t n_retries = 0;
            bool done = factor<float>(context, n, H, ints_or_null(in[1]), fraction * mean, out[0].as<float>());
            // Single precision may fail where the matrix is fine: once in double with the same damping, then with ten times as much.
            while (!done && !context.cancelled() && fraction <= 1.0) {
              if (n_retries > 0) fraction = fraction == 0 ? 0.01 : fraction * 10;
              ++n_retries;
              done = factor<double>(context, n, H, ints_or_null(in[1]), fraction * mean, out[0].as<float>());
            }
            if (context.cancelled()) return Status::cancelled();
            if (!done) return Status::error("not positive definite even with a damping of " + std::to_string(fraction) + " times its mean diagonal");
            double* info = out[1].as<double>();
            info[0] = fraction;
            info[1] = static_cast<double>(n_dead);
            info[2] = static_cast<double>(n_retries);
            info[3] = mean;
            return Status::fine();
          }};
}

Operation inverse_factor_operation() {
  return {"inverse_factor",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[0].shape[0] != in[0].shape[1]) return mismatch("a factor F32 [I, I] alone", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t n = in[0].extent(0);
            const float* R = in[0].as<float>();
            float* U = out[0].as<float>();
            for (int64_t i = 0; i < n; ++i)
              if (!(R[i * n + i] > 0)) return Status::error("the factor has " + std::to_string(R[i * n + i]) + " on its diagonal at column " + std::to_string(i));
            context.pool.parallel_chunks(n, 64, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j <= i; ++j) U[i * n + j] = R[(n - 1 - i) * n + (n - 1 - j)];
            });
            invert_lower(context.pool, n, U);
            if (context.cancelled()) return Status::cancelled();
            return reverse_to_upper(context.pool, n, U, U) ? Status::fine() : Status::error("the inverse of the factor is not finite");
          }};
}

Operation hessian_order_operation() {
  return {"hessian_order",
          [](const Specs& in, const Options&, Specs& out) {
            if (Status status = square_hessian(in); !status.ok()) return status;
            if (in.size() != 1) return mismatch("a Hessian F32 [I, I] alone", in);
            out = {{DType::I32, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            const int64_t n = in[0].extent(0);
            const float* H = in[0].as<float>();
            int32_t* order = out[0].as<int32_t>();
            std::iota(order, order + n, 0);
            std::stable_sort(order, order + n, [&](int32_t a, int32_t b) { return H[a * n + a] > H[b * n + b]; });
            return Status::fine();
          }};
}

Operation dead_columns_operation() {
  return {"dead_columns",
          [](const Specs& in, const Options&, Specs& out) {
            if (Status status = square_hessian(in); !status.ok()) return status;
            if (in.size() != 1) return mismatch("a Hessian F32 [I, I] alone", in);
            out = {{DType::U8, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            const int64_t n = in[0].extent(0);
            for (int64_t i = 0; i < n; ++i) out[0].as<uint8_t>()[i] = in[0].as<float>()[i * n + i] == 0;
            return Status::fine();
          }};
}

}  // namespace bitwright
