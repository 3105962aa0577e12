// Attention of one new token per document over keys and values that were kept, for decoding token by token.
//
//   here     shape                        meaning
//   q        D × n_heads·head_dim         the newest token of each document
//   k, v     D·C × n_kv_heads·head_dim    document d has the rows d·C … d·C + lengths[d], its newest token's included
//   lengths  D                            1 to C
//
// store_rows writes the rows that projections have just made: cache[rows[t]] ← x[t].
// Same formula as attention.cc; scores are summed in double, since there is one query and memory, not arithmetic, is the bound.
// Cost: 2 · head_dim · Σ lengths multiply-adds per head; the cache is read once for each group of query heads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "forward/forward.h"

namespace bitwright {
namespace {

struct Heads {
  int64_t n_heads, n_kv_heads, head_dim;
  double scale;
  int64_t window;
};

Heads heads_of(const Options& options) {
  return {options.integer("n_heads", 0), options.integer("n_kv_heads", 0), options.integer("head_dim", 0), options.number("scale", 0), options.integer("sliding_window", 0)};
}

void attend(const Heads& heads, int64_t head, const float* q, const float* keys, const float* values, int64_t length, float* out) {
  const int64_t dim = heads.head_dim, width = heads.n_kv_heads * dim;
  const int64_t at = head / (heads.n_heads / heads.n_kv_heads) * dim;
  const int64_t first = heads.window > 0 ? std::max<int64_t>(0, length - heads.window) : 0;
  std::vector<double> scores(static_cast<size_t>(length - first));
  double peak = -INFINITY;
  for (int64_t row = first; row < length; ++row) {
    double sum = 0;
    for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(q[head * dim + i]) * keys[row * width + at + i];
    scores[row - first] = sum * heads.scale;
    peak = std::max(peak, scores[row - first]);
  }
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - peak);
  std::vector<double> mixed(static_cast<size_t>(dim), 0.0);
  for (int64_t row = first; row < length; ++row)
    for (int64_t i = 0; i < dim; ++i) mixed[i] += scores[row - first] * values[row * width + at + i];
  for (int64_t i = 0; i < dim; ++i) out[head * dim + i] = static_cast<float>(mixed[i] / total);
}

}  // namespace

Operation store_rows_operation() {
  return {"store_rows",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 3 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].shape.size() != 2 || in[1].shape[1] != in[0].shape[1] || in[2].dtype != DType::I32 || in[2].count() != in[1].shape[0])
              return mismatch("cache F32 [R, I], x F32 [T, I] and rows I32 [T]", in);
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views&, const Options&) {
            const int64_t I = in[0].extent(1), R = in[0].extent(0);
            const int32_t* rows = in[2].as<int32_t>();
            for (int64_t t = 0; t < in[1].extent(0); ++t) {
              if (rows[t] < 0 || rows[t] >= R) return Status::error("row " + std::to_string(rows[t]) + " is outside the cache of " + std::to_string(R));
              std::memcpy(in[0].as<float>() + rows[t] * I, in[1].as<float>() + t * I, static_cast<size_t>(I) * sizeof(float));
            }
            return Status::fine();
          }};
}

Operation cached_attention_operation() {
  return {"cached_attention",
          [](const Specs& in, const Options& options, Specs& out) {
            const Heads heads = heads_of(options);
            if (heads.n_heads < 1 || heads.n_kv_heads < 1 || heads.head_dim < 1 || heads.n_heads % heads.n_kv_heads != 0 || !(heads.scale > 0) || heads.window < 0)
              return Status::error("n_heads, n_kv_heads, head_dim and scale must be positive, n_heads a multiple of n_kv_heads, sliding_window not negative");
            const bool fits = in.size() == 4 && in[0].dtype == DType::F32 && in[0].shape.size() == 2 && in[0].shape[1] == heads.n_heads * heads.head_dim && in[1].dtype == DType::F32 &&
                              in[1].shape.size() == 2 && in[1].shape[1] == heads.n_kv_heads * heads.head_dim && in[2].dtype == DType::F32 && in[2].shape == in[1].shape &&
                              in[3].dtype == DType::I32 && in[3].count() == in[0].shape[0] && in[0].shape[0] > 0 && in[1].shape[0] % in[0].shape[0] == 0;
            if (!fits) return mismatch("q F32 [D, n_heads * head_dim], k and v F32 [D * C, n_kv_heads * head_dim] and lengths I32 [D]", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const Heads heads = heads_of(options);
            const int64_t D = in[0].extent(0), C = in[1].extent(0) / D, width = in[1].extent(1), all = in[0].extent(1);
            const int32_t* lengths = in[3].as<int32_t>();
            for (int64_t d = 0; d < D; ++d)
              if (lengths[d] < 1 || lengths[d] > C) return Status::error("length " + std::to_string(lengths[d]) + " is outside 1 to " + std::to_string(C));
            context.pool.parallel_chunks(D * heads.n_heads, 1, [&](int64_t begin, int64_t end) {
              for (int64_t item = begin; item < end; ++item) {
                const int64_t d = item / heads.n_heads;
                attend(heads, item % heads.n_heads, in[0].as<float>() + d * all, in[1].as<float>() + d * C * width, in[2].as<float>() + d * C * width, lengths[d], out[0].as<float>() + d * all);
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
