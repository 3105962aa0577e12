// Causal grouped-query attention (Ainslie et al., arXiv 2305.13245) over documents that lie behind each other.
//
//   here     shape                     meaning
//   q        Q × n_heads·head_dim      queries of the tokens first_query … first_query + Q; head h reads key/value head h / (n_heads / n_kv_heads)
//   k, v     T × n_kv_heads·head_dim
//   offsets  documents + 1             document d holds tokens offsets[d] … offsets[d+1]
//
// softmax(q kᵀ · scale) v per head, a token sees the tokens of its document up to itself, at most `sliding_window` of them when that is not 0.
// Work is split into blocks of 64 queries of one head of one document: queries that are given a range at a time, cut between such blocks, have the same
// bits. Cost: 2 · head_dim · Σ L² / 2 multiply-adds per head, L the document lengths.
#include <cblas.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/vector-math.h"
#include "forward/attention.h"
#include "forward/forward.h"

namespace bitwright {

BITWRIGHT_VECTOR void softmax_row(float* row, int64_t begin, int64_t end, int64_t width, float scale) {
  float maxima[n_lanes];
  for (float& lane : maxima) lane = -std::numeric_limits<float>::infinity();
  int64_t i = begin;
  for (; i + n_lanes <= end; i += n_lanes)
    for (int lane = 0; lane < n_lanes; ++lane) maxima[lane] = row[i + lane] > maxima[lane] ? row[i + lane] : maxima[lane];
  for (; i < end; ++i) maxima[0] = row[i] > maxima[0] ? row[i] : maxima[0];
  const float peak = *std::max_element(maxima, maxima + n_lanes) * scale;
  float sums[n_lanes] = {};
  for (i = begin; i + n_lanes <= end; i += n_lanes)
    for (int lane = 0; lane < n_lanes; ++lane) {
      const float e = exp_lane(row[i + lane] * scale - peak);
      row[i + lane] = e;
      sums[lane] += e;
    }
  for (; i < end; ++i) {
    row[i] = exp_lane(row[i] * scale - peak);
    sums[0] += row[i];
  }
  const float inverse = 1.0f / sum_lanes(sums);
  for (i = begin; i < end; ++i) row[i] *= inverse;
  for (i = 0; i < begin; ++i) row[i] = 0;
  for (i = end; i < width; ++i) row[i] = 0;
}

Status check_documents(const int32_t* offsets, int64_t n_documents, int64_t T) {
  if (offsets[0] != 0 || offsets[n_documents] != T) return Status::error("the document offsets do not cover the " + std::to_string(T) + " tokens");
  for (int64_t d = 0; d < n_documents; ++d)
    if (offsets[d + 1] < offsets[d]) return Status::error("document " + std::to_string(d) + " ends before it begins");
  return Status::fine();
}

namespace {

constexpr int64_t query_block = 64;
/// Heads narrower than this go without BLAS.
constexpr int64_t small_head_limit = 32;

using Lanes = float __attribute__((vector_size(n_lanes * sizeof(float)), aligned(alignof(float)), may_alias));
using IntLanes = int32_t __attribute__((vector_size(n_lanes * sizeof(int32_t)), aligned(alignof(int32_t)), may_alias));

/// row[i] ← 2^(row[i] - peak) in each lane of 4 vectors, below -126 it is 2^-126. Four abreast, because each step waits for the one before.
/// x = n + r with n whole and |r| ≤ ½; 2^r is the polynomial of degree 5 with the smallest relative error, 8e-8 before rounding.
inline __attribute__((always_inline)) void powers_of_two(Lanes* row, const Lanes& peak) {
  constexpr float to_integer = 12582912.0f;  // 1.5 · 2^23: what is added to it is rounded to whole numbers
  constexpr float least = -126.0f;
  Lanes x[4], n[4], p[4], scale[4];
  for (int i = 0; i < 4; ++i) x[i] = row[i] - peak;
  // In this order a NaN stays.
  for (int i = 0; i < 4; ++i) x[i] = least > x[i] ? Lanes{} + least : x[i];
  for (int i = 0; i < 4; ++i) n[i] = x[i] + to_integer;
  // The integer stands in the low bits; those above fall off.
  for (int i = 0; i < 4; ++i) {
    const IntLanes exponent = (reinterpret_cast<const IntLanes&>(n[i]) + 127) << 23;
    scale[i] = reinterpret_cast<const Lanes&>(exponent);
  }
  for (int i = 0; i < 4; ++i) x[i] -= n[i] - to_integer;
  for (int i = 0; i < 4; ++i) p[i] = x[i] * 0.00132764725f + 0.00967554096f;
  for (const float coefficient : {0.0555071309f, 0.240221202f, 0.693146944f, 1.0f})
    for (int i = 0; i < 4; ++i) p[i] = p[i] * x[i] + coefficient;
  for (int i = 0; i < 4; ++i) row[i] = p[i] * scale[i];
}

/// scores[key] = Σ_d q[d] · k[key, d] of `count` keys, their largest into maximum.
template <int count>
inline __attribute__((always_inline)) void score_keys(const Lanes* q, const float* k, int64_t kv_width, int64_t head_dim, Lanes* scores, Lanes& maximum) {
  Lanes sums[count] = {};
  for (int64_t d = 0; d < head_dim; ++d)
    for (int i = 0; i < count; ++i) sums[i] += q[d] * k[i * kv_width + d];
  for (int i = 0; i < count; ++i) {
    scores[i] = sums[i];
    maximum = sums[i] > maximum ? sums[i] : maximum;
  }
}

/// out[d] = Σ_key p[key] · v[key, d] for `count` columns d.
template <int count>
inline __attribute__((always_inline)) void mix_columns(const Lanes* p, int64_t n_keys, const float* v, int64_t kv_width, Lanes* out) {
  Lanes sums[count] = {};
  for (int64_t key = 0; key < n_keys; ++key)
    for (int i = 0; i < count; ++i) sums[i] += p[key] * v[key * kv_width + i];
  for (int i = 0; i < count; ++i) out[i] = sums[i];
}

/// 16 queries of a small head, for which BLAS would spend its time packing: one query in each lane, so that nothing is summed across lanes.
/// q, which holds log2(e) as a factor, and out are head_dim × 16; lane i sees the keys from[i] … to[i] of n_keys. `scores` holds n_keys vectors, rounded up to 4.
BITWRIGHT_VECTOR void small_head(const float* queries, const float* k, const float* v, int64_t kv_width, int64_t head_dim, int64_t n_keys, const int32_t* from, const int32_t* to, float* rows, float* mixed) {
  const Lanes* q = reinterpret_cast<const Lanes*>(queries);
  Lanes *scores = reinterpret_cast<Lanes*>(rows), *out = reinterpret_cast<Lanes*>(mixed);
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  IntLanes first, end;
  std::memcpy(&first, from, sizeof first);
  std::memcpy(&end, to, sizeof end);
  // Every lane sees the keys between; beside them a key is hidden from some.
  int64_t all_from = 0, all_to = n_keys;
  for (int i = 0; i < n_lanes; ++i) {
    all_from = std::max<int64_t>(all_from, from[i]);
    all_to = std::min<int64_t>(all_to, to[i]);
  }
  Lanes peak = Lanes{} + nothing;
  auto score_hidden = [&](int64_t begin, int64_t last) __attribute__((always_inline)) {
    for (int64_t key = begin; key < last; ++key) {
      Lanes unused = peak;
      score_keys<1>(q, k + key * kv_width, kv_width, head_dim, scores + key, unused);
      const IntLanes at = IntLanes{} + static_cast<int32_t>(key);
      scores[key] = (at >= first) & (at < end) ? scores[key] : Lanes{} + nothing;
      peak = scores[key] > peak ? scores[key] : peak;
    }
  };
  int64_t key = std::min(all_from, n_keys);
  score_hidden(0, key);
  for (; key + 8 <= all_to; key += 8) score_keys<8>(q, k + key * kv_width, kv_width, head_dim, scores + key, peak);
  for (; key < all_to; ++key) score_keys<1>(q, k + key * kv_width, kv_width, head_dim, scores + key, peak);
  score_hidden(key, n_keys);
  const int64_t rounded = (n_keys + 3) / 4 * 4;
  std::fill(scores + n_keys, scores + rounded, Lanes{} + nothing);
  Lanes totals[4] = {};
  for (key = 0; key < rounded; key += 4) {
    powers_of_two(scores + key, peak);
    for (int i = 0; i < 4; ++i) totals[i] += scores[key + i];
  }
  // Hidden keys weigh 2^-126: nothing beside the 2^0 of the peak.
  const Lanes inverse = 1.0f / ((totals[0] + totals[1]) + (totals[2] + totals[3]));
  int64_t d = 0;
  for (; d + 8 <= head_dim; d += 8) mix_columns<8>(scores, n_keys, v + d, kv_width, out + d);
  for (; d < head_dim; ++d) mix_columns<1>(scores, n_keys, v + d, kv_width, out + d);
  for (d = 0; d < head_dim; ++d) out[d] *= inverse;
}

/// Memory of a thread on a cache line's border: a load that straddles two lines costs two.
class AlignedFloats {
 public:
  float* at_least(int64_t n) {
    const size_t n_lines = static_cast<size_t>((n + n_lanes - 1) / n_lanes);
    if (lines_.size() < n_lines) lines_.resize(n_lines);
    return lines_.data()->values;
  }

 private:
  struct alignas(64) Line {
    float values[n_lanes];
  };
  std::vector<Line> lines_;
};

struct Block {
  int64_t document_begin, query_begin, query_end, head;
};

}  // namespace

Operation attention_operation() {
  return {"attention",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t n_heads = options.integer("n_heads"), n_kv_heads = options.integer("n_kv_heads"), head_dim = options.integer("head_dim");
            const int64_t first_query = options.integer("first_query", 0);
            const bool fits = in.size() == 4 && n_heads > 0 && n_kv_heads > 0 && n_heads % n_kv_heads == 0 && head_dim > 0 && in[0].shape.size() == 2 && in[0].dtype == DType::F32 &&
                              in[1].dtype == DType::F32 && in[2].dtype == DType::F32 && in[0].shape[1] == n_heads * head_dim && in[1].shape == in[2].shape &&
                              in[1].shape.size() == 2 && in[1].shape[1] == n_kv_heads * head_dim && first_query >= 0 && first_query + in[0].shape[0] <= in[1].shape[0] &&
                              in[3].dtype == DType::I32 && in[3].count() >= 1;
            if (!fits)
              return mismatch("q F32 [Q, n_heads · head_dim], k and v F32 [T, n_kv_heads · head_dim], offsets I32 [documents + 1], and Q queries from first_query on among the T tokens", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const Heads heads = Heads::from(in, options);
            const int64_t head_dim = heads.head_dim, window = heads.window, width = heads.width(), kv_width = heads.kv_width();
            const float scale = heads.scale;
            const int32_t* offsets = in[3].as<int32_t>();
            if (Status status = check_documents(offsets, heads.n_documents, heads.T); !status.ok()) return status;
            std::vector<Block> blocks;
            for (int64_t d = 0; d < heads.n_documents; ++d) {
              for (int64_t head = 0; head < heads.n_heads; ++head)
                for (int64_t q = offsets[d]; q < offsets[d + 1]; q += query_block) {
                  const int64_t begin = std::max(q, heads.first_query), end = std::min({q + query_block, static_cast<int64_t>(offsets[d + 1]), heads.end_query});
                  if (begin < end) blocks.push_back({offsets[d], begin, end, head});
                }
            }
            context.pool.parallel_for(static_cast<int64_t>(blocks.size()), [&](int64_t index) {
              if (context.cancelled()) return;
              const Block& block = blocks[static_cast<size_t>(index)];
              const int64_t kv_column = block.head / heads.group() * head_dim;
              const int64_t first_key = window > 0 ? std::max(block.document_begin, block.query_begin - window + 1) : block.document_begin;
              const int64_t n_queries = block.query_end - block.query_begin, n_keys = block.query_end - first_key;
              static thread_local AlignedFloats scores;
              const int64_t at = (block.query_begin - heads.first_query) * width + block.head * head_dim;
              const float* q = in[0].as<float>() + at;
              const float *k = in[1].as<float>() + first_key * kv_width + kv_column, *v = in[2].as<float>() + first_key * kv_width + kv_column;
              float* y = out[0].as<float>() + at;
              auto seen_from = [&](int64_t row) { return window > 0 ? std::max<int64_t>(0, block.query_begin + row - window + 1 - first_key) : 0; };
              auto seen_to = [&](int64_t row) { return block.query_begin + row - first_key + 1; };
              if (head_dim < small_head_limit) {
                alignas(64) float columns[small_head_limit * n_lanes], mixed[small_head_limit * n_lanes];
                int32_t from[n_lanes], to[n_lanes];
                for (int64_t begin = 0; begin < n_queries; begin += n_lanes) {
                  const int64_t n = std::min<int64_t>(n_lanes, n_queries - begin), key = seen_from(begin), end = seen_to(begin + n - 1);
                  // Lanes behind the last query repeat it.
                  for (int64_t lane = 0; lane < n_lanes; ++lane) {
                    const int64_t row = begin + std::min(lane, n - 1);
                    from[lane] = static_cast<int32_t>(seen_from(row) - key);
                    to[lane] = static_cast<int32_t>(seen_to(row) - key);
                    for (int64_t d = 0; d < head_dim; ++d) columns[d * n_lanes + lane] = q[row * width + d] * (scale * 1.44269504f);
                  }
                  small_head(columns, k + key * kv_width, v + key * kv_width, kv_width, head_dim, end - key, from, to, scores.at_least((end - key + 3) / 4 * 4 * n_lanes), mixed);
                  for (int64_t lane = 0; lane < n; ++lane)
                    for (int64_t d = 0; d < head_dim; ++d) y[(begin + lane) * width + d] = mixed[d * n_lanes + lane];
                }
                return;
              }
              float* all_scores = scores.at_least(n_queries * n_keys);
              cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(n_queries), static_cast<int>(n_keys), static_cast<int>(head_dim), 1.0f, q, static_cast<int>(width), k,
                          static_cast<int>(kv_width), 0.0f, all_scores, static_cast<int>(n_keys));
              for (int64_t row = 0; row < n_queries; ++row) softmax_row(all_scores + row * n_keys, seen_from(row), seen_to(row), n_keys, scale);
              cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(n_queries), static_cast<int>(head_dim), static_cast<int>(n_keys), 1.0f, all_scores,
                          static_cast<int>(n_keys), v, static_cast<int>(kv_width), 0.0f, y, static_cast<int>(width));
            });
            return context.cancelled() ? Status::cancelled() : Status::fine();
          }};
}

}  // namespace bitwright
