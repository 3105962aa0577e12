// The gradient of causal grouped-query attention (attention.cc has the shapes): with P = softmax(q kᵀ · scale) and y = P v,
//
//   dv = Pᵀ dy     dP = dy vᵀ     dS = P ∘ (dP − Σ_key P ∘ dP) · scale     dq = dS k     dk = dSᵀ q
//
// P is computed again from q and k. A key/value head of a document is one piece of work, with all query heads that read it, 64 queries at a time: dk and dv
// are added in one order. Cost: five products of 2 · head_dim · Σ L² / 2 multiply-adds per head.
#include <cblas.h>

#include <algorithm>
#include <vector>

#include "core/vector-math.h"
#include "forward/attention.h"
#include "forward/forward.h"

namespace bitwright {
namespace {

constexpr int64_t query_block = 64;

/// dP becomes dS; both have `width` columns, and P is zero where nothing is seen.
BITWRIGHT_VECTOR void score_gradients(const float* P, float* dP, int64_t width, float scale) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= width; i += 8)
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += static_cast<double>(P[i + lane]) * dP[i + lane];
  for (; i < width; ++i) lanes[i % 8] += static_cast<double>(P[i]) * dP[i];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  const float mean = static_cast<float>(sum);
  for (i = 0; i < width; ++i) dP[i] = P[i] * (dP[i] - mean) * scale;
}

struct Piece {
  int64_t begin, end, kv_head;
};

}  // namespace

Operation attention_backward_operation() {
  return {"attention_backward",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 5 || in[4].dtype != DType::F32 || in[4].shape != in[0].shape || !attention_operation().infer({in[0], in[1], in[2], in[3]}, options, out).ok() || in[0].shape[0] != in[1].shape[0])
              return mismatch("q F32 [T, n_heads · head_dim], k and v F32 [T, n_kv_heads · head_dim], offsets I32 [documents + 1], dy of the shape of q", in);
            out = {in[0], in[1], in[2]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const Heads heads = Heads::from(in, options);
            const int64_t head_dim = heads.head_dim, window = heads.window, width = heads.width(), kv_width = heads.kv_width(), group = heads.group();
            const float scale = heads.scale;
            const int32_t* offsets = in[3].as<int32_t>();
            if (Status status = check_documents(offsets, heads.n_documents, heads.T); !status.ok()) return status;
            for (const TensorView& result : {out[1], out[2]}) std::fill_n(result.as<float>(), heads.T * kv_width, 0.0f);
            std::vector<Piece> pieces;
            for (int64_t d = 0; d < heads.n_documents; ++d)
              for (int64_t kv_head = 0; kv_head < heads.n_kv_heads && offsets[d] < offsets[d + 1]; ++kv_head) pieces.push_back({offsets[d], offsets[d + 1], kv_head});
            context.pool.parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t index) {
              const Piece& piece = pieces[static_cast<size_t>(index)];
              std::vector<float> P, dP;
              for (int64_t head = piece.kv_head * group; head < (piece.kv_head + 1) * group; ++head)
                for (int64_t begin = piece.begin; begin < piece.end && !context.cancelled(); begin += query_block) {
                  const int64_t end = std::min(begin + query_block, piece.end), first = window > 0 ? std::max(piece.begin, begin - window + 1) : piece.begin;
                  const int64_t n_queries = end - begin, n_keys = end - first, query_at = begin * width + head * head_dim, key_at = first * kv_width + piece.kv_head * head_dim;
                  const float *q = in[0].as<float>() + query_at, *dy = in[4].as<float>() + query_at, *k = in[1].as<float>() + key_at, *v = in[2].as<float>() + key_at;
                  P.resize(static_cast<size_t>(n_queries * n_keys));
                  dP.resize(P.size());
                  const int M = static_cast<int>(n_queries), N = static_cast<int>(n_keys), K = static_cast<int>(head_dim), q_stride = static_cast<int>(width), k_stride = static_cast<int>(kv_width);
                  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1.0f, q, q_stride, k, k_stride, 0.0f, P.data(), N);
                  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1.0f, dy, q_stride, v, k_stride, 0.0f, dP.data(), N);
                  for (int64_t row = 0; row < n_queries; ++row) {
                    const int64_t query = begin + row, from = window > 0 ? std::max<int64_t>(0, query - window + 1 - first) : 0;
                    softmax_row(P.data() + row * n_keys, from, query - first + 1, n_keys, scale);
                  }
                  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, N, K, M, 1.0f, P.data(), N, dy, q_stride, 1.0f, out[2].as<float>() + key_at, k_stride);
                  for (int64_t row = 0; row < n_queries; ++row) score_gradients(P.data() + row * n_keys, dP.data() + row * n_keys, n_keys, scale);
                  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, K, N, 1.0f, dP.data(), N, k, k_stride, 0.0f, out[0].as<float>() + query_at, q_stride);
                  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, N, K, M, 1.0f, dP.data(), N, q, q_stride, 1.0f, out[1].as<float>() + key_at, k_stride);
                }
            });
            return context.cancelled() ? Status::cancelled() : Status::fine();
          }};
}

}  // namespace bitwright
