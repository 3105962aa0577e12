// The residual that quantization leaves, as a product of two thin matrices (LQER, Zhang et al., arXiv 2402.02446; QUAD keeps such a part beside 4 bits too).
//
//   paper   here   shape   meaning
//   W, W_q  W, Ŵ   O × I   weight as it was, and as a reader computes it
//   E_q     E      O × I   W - Ŵ
//   S       H      I × I   Hessian of the inputs; none: the identity. LQER scales by a diagonal S; the whole of H is no dearer here
//   A B     B, A   O × r, r × I    B A with the least tr((E - B A) H (E - B A)ᵀ)
//
// That least is B = U, A = Uᵀ E with U the r leading eigenvectors of E H Eᵀ (Eckart and Young, with H = L Lᵀ: U Uᵀ (E L) is the best of rank r for E L, and L falls out), so
// that nothing is factored or inverted, and columns that no input reaches cost nothing. U by subspace iteration from numbers of a fixed seed on r + 8 vectors, then
// Rayleigh and Ritz by Jacobi rotations in double. Products are single precision on the fixed tiles of core/gemm, orthonormalization double: the same bytes at any number
// of threads. Cost: O · I² for E H, n_iterations · 4 · O · I · (r + 8).
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/convert.h"
#include "core/gemm.h"
#include "core/operations.h"
#include "transforms/corrections.h"

namespace bitwright {
namespace {

constexpr int64_t oversampled = 8;

/// Columns of Q [rows, l] made orthonormal in their order, twice over; one that depends on those before becomes zero.
void orthonormalize(Pool& pool, std::vector<float>& Q, int64_t rows, int64_t l) {
  std::vector<double> columns(static_cast<size_t>(rows * l));
  pool.parallel_chunks(l, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j)
      for (int64_t i = 0; i < rows; ++i) columns[static_cast<size_t>(j * rows + i)] = Q[static_cast<size_t>(i * l + j)];
  });
  const auto dot = [rows](const double* a, const double* b) {
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum += a[i] * b[i];
    return sum;
  };
  for (int64_t j = 0; j < l; ++j) {
    double* own = columns.data() + j * rows;
    const double before = std::sqrt(dot(own, own));
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t k = 0; k < j; ++k) {
        const double* other = columns.data() + k * rows;
        const double part = dot(own, other);
        for (int64_t i = 0; i < rows; ++i) own[i] -= part * other[i];
      }
    const double length = std::sqrt(dot(own, own));
    const double factor = length > 1e-6 * before && length > 0 ? 1 / length : 0;
    for (int64_t i = 0; i < rows; ++i) own[i] *= factor;
  }
  pool.parallel_chunks(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < l; ++j) Q[static_cast<size_t>(i * l + j)] = static_cast<float>(columns[static_cast<size_t>(j * rows + i)]);
  });
}

/// Eigenvectors of a symmetric T [l, l] as the columns of V, by cyclic Jacobi rotations; T becomes diagonal.
void jacobi(std::vector<double>& T, std::vector<double>& V, int64_t l) {
  V.assign(static_cast<size_t>(l * l), 0);
  for (int64_t i = 0; i < l; ++i) V[static_cast<size_t>(i * l + i)] = 1;
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0, whole = 0;
    for (int64_t i = 0; i < l; ++i)
      for (int64_t j = 0; j < l; ++j) (i == j ? whole : off) += T[static_cast<size_t>(i * l + j)] * T[static_cast<size_t>(i * l + j)];
    if (off <= 1e-24 * whole) return;
    for (int64_t p = 0; p < l; ++p)
      for (int64_t q = p + 1; q < l; ++q) {
        const double apq = T[static_cast<size_t>(p * l + q)];
        if (apq == 0) continue;
        const double theta = (T[static_cast<size_t>(q * l + q)] - T[static_cast<size_t>(p * l + p)]) / (2 * apq);
        const double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1)), c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int64_t k = 0; k < l; ++k) {
          double &a = T[static_cast<size_t>(k * l + p)], &b = T[static_cast<size_t>(k * l + q)];
          const double x = a, y = b;
          a = c * x - s * y;
          b = s * x + c * y;
        }
        for (int64_t k = 0; k < l; ++k) {
          double &a = T[static_cast<size_t>(p * l + k)], &b = T[static_cast<size_t>(q * l + k)];
          const double x = a, y = b;
          a = c * x - s * y;
          b = s * x + c * y;
        }
        for (int64_t k = 0; k < l; ++k) {
          double &a = V[static_cast<size_t>(k * l + p)], &b = V[static_cast<size_t>(k * l + q)];
          const double x = a, y = b;
          a = c * x - s * y;
          b = s * x + c * y;
        }
      }
  }
}

double inner(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

/// W and What [O, I] of any float types, H F32 [I, I] or none → B F32 [O, rank], A F32 [rank, I], F64 [2]: tr(E H Eᵀ) without and with B A. Ranks beyond those of E are zero.
Operation low_rank_residual_operation() {
  return {"low_rank_residual",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || in[0].shape.size() != 2 || !is_float(in[0].dtype) || !is_float(in[1].dtype) || in[1].shape != in[0].shape || (in[2].present && (in[2].dtype != DType::F32 || in[2].shape != Shape{in[0].shape[1], in[0].shape[1]})))
              return mismatch("two weights [O, I] and H F32 [I, I] or none", in);
            const int64_t rank = options.integer("rank"), n_iterations = options.integer("n_iterations", 8);
            if (rank < 1 || rank > 4096) return Status::error("rank " + std::to_string(rank) + " is not between 1 and 4096");
            if (n_iterations < 1 || n_iterations > 1000) return Status::error("n_iterations " + std::to_string(n_iterations) + " is not between 1 and 1000");
            out = {{DType::F32, {in[0].shape[0], rank}}, {DType::F32, {rank, in[0].shape[1]}}, {DType::F64, {2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Pool& pool = context.pool;
            const int64_t O = in[0].extent(0), I = in[0].extent(1), rank = options.integer("rank");
            const int64_t l = std::min(rank + oversampled, std::min(O, I)), kept = std::min(rank, l);
            const FloatView W(in[0]), What(in[1]);
            std::vector<float> E(static_cast<size_t>(O * I)), G, Q(static_cast<size_t>(O * l)), Y(static_cast<size_t>(I * l)), Z(static_cast<size_t>(O * l));
            for (size_t k = 0; k < E.size(); ++k) E[k] = W.data()[k] - What.data()[k];
            if (in[2].present) {
              G.resize(E.size());
              gemm_nn(pool, O, I, I, 1.0f, E.data(), I, in[2].as<float>(), I, 0.0f, G.data(), I);
            }
            const std::vector<float>& EH = in[2].present ? G : E;
            uint64_t state = 0x9e3779b97f4a7c15u;
            for (float& value : Q) {
              state = state * 6364136223846793005u + 1442695040888963407u;
              value = static_cast<float>(static_cast<double>(state >> 40) / (1 << 24) - 0.5);
            }
            orthonormalize(pool, Q, O, l);
            const auto times = [&] {
              gemm_tn(pool, I, l, O, 1.0f, E.data(), I, Q.data(), l, 0.0f, Y.data(), l);
              gemm_nn(pool, O, l, I, 1.0f, EH.data(), I, Y.data(), l, 0.0f, Z.data(), l);
            };
            for (int64_t step = 0; step < options.integer("n_iterations", 8) && !context.cancelled(); ++step) {
              times();
              Q.swap(Z);
              orthonormalize(pool, Q, O, l);
            }
            if (context.cancelled()) return Status::cancelled();
            times();
            std::vector<double> T(static_cast<size_t>(l * l)), V;
            pool.parallel_chunks(l, 1, [&](int64_t begin, int64_t end) {
              for (int64_t a = begin; a < end; ++a)
                for (int64_t b = 0; b < l; ++b) {
                  double sum = 0;
                  for (int64_t i = 0; i < O; ++i) sum += static_cast<double>(Q[static_cast<size_t>(i * l + a)]) * Z[static_cast<size_t>(i * l + b)];
                  T[static_cast<size_t>(a * l + b)] = sum;
                }
            });
            for (int64_t a = 0; a < l; ++a)
              for (int64_t b = 0; b < a; ++b) T[static_cast<size_t>(a * l + b)] = T[static_cast<size_t>(b * l + a)] = (T[static_cast<size_t>(a * l + b)] + T[static_cast<size_t>(b * l + a)]) / 2;
            jacobi(T, V, l);
            std::vector<int64_t> order(static_cast<size_t>(l));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return T[static_cast<size_t>(a * l + a)] > T[static_cast<size_t>(b * l + b)]; });
            float *B = out[0].as<float>(), *A = out[1].as<float>();
            std::fill_n(B, O * rank, 0.0f);
            std::fill_n(A, rank * I, 0.0f);
            for (int64_t i = 0; i < O; ++i)
              for (int64_t k = 0; k < kept; ++k) {
                double sum = 0;
                for (int64_t j = 0; j < l; ++j) sum += static_cast<double>(Q[static_cast<size_t>(i * l + j)]) * V[static_cast<size_t>(j * l + order[static_cast<size_t>(k)])];
                B[i * rank + k] = static_cast<float>(sum);
              }
            gemm_tn(pool, rank, I, O, 1.0f, B, rank, E.data(), I, 0.0f, A, I);
            double* errors = out[2].as<double>();
            errors[0] = inner(E, EH);
            // What is left, from what is handed out.
            gemm_nn(pool, O, I, rank, -1.0f, B, rank, A, I, 1.0f, E.data(), I);
            if (in[2].present) gemm_nn(pool, O, I, I, 1.0f, E.data(), I, in[2].as<float>(), I, 0.0f, G.data(), I);
            errors[1] = inner(E, EH);
            return std::isfinite(errors[0]) && std::isfinite(errors[1]) ? Status::fine() : Status::error("the residual or the Hessian holds a NaN or an infinity");
          }};
}

}  // namespace bitwright
