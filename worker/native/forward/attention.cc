// Causal grouped-query attention (Ainslie et al., arXiv 2305.13245) over documents that lie behind each other.
//
//   here     shape                     meaning
//   q        T × n_heads·head_dim      queries; head h reads key/value head h / (n_heads / n_kv_heads)
//   k, v     T × n_kv_heads·head_dim
//   offsets  documents + 1             document d holds tokens offsets[d] … offsets[d+1]
//
// softmax(q kᵀ · scale) v per head, a token sees the tokens of its document up to itself, at most `sliding_window` of them when that is not 0.
// Work is split into blocks of 64 queries of one head of one document. Cost: 2 · head_dim · Σ L² / 2 multiply-adds per head, L the document lengths.
#include <cblas.h>

#include <algorithm>
#include <limits>

#include "core/vector-math.h"
#include "forward/forward.h"

namespace bitwright {
namespace {

constexpr int64_t query_block = 64;

/// Softmax of row[begin, end) times `scale` in place; zeros elsewhere in [0, width).
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

/// scores[query][key] = Σ q k over head_dim columns, for small heads where BLAS spends its time packing: keys are transposed once per block.
BITWRIGHT_VECTOR void small_head_scores(const float* q, int64_t ldq, const float* keys, int64_t n_queries, int64_t n_keys, int64_t head_dim, float* scores) {
  for (int64_t query = 0; query < n_queries; ++query) {
    float* row = scores + query * n_keys;
    for (int64_t key = 0; key < n_keys; ++key) row[key] = 0;
    for (int64_t d = 0; d < head_dim; ++d) {
      const float value = q[query * ldq + d];
      const float* column = keys + d * n_keys;
      for (int64_t key = 0; key < n_keys; ++key) row[key] += value * column[key];
    }
  }
}

/// out[query][d] = Σ p[query][key] values[d][key], values transposed; 16 fixed lanes per sum.
BITWRIGHT_VECTOR void small_head_mix(const float* p, const float* values, int64_t n_queries, int64_t n_keys, int64_t head_dim, float* out, int64_t ldo) {
  for (int64_t query = 0; query < n_queries; ++query)
    for (int64_t d = 0; d < head_dim; ++d) {
      const float *row = p + query * n_keys, *column = values + d * n_keys;
      float lanes[n_lanes] = {};
      int64_t key = 0;
      for (; key + n_lanes <= n_keys; key += n_lanes)
        for (int lane = 0; lane < n_lanes; ++lane) lanes[lane] += row[key + lane] * column[key + lane];
      for (; key < n_keys; ++key) lanes[0] += row[key] * column[key];
      out[query * ldo + d] = sum_lanes(lanes);
    }
}

struct Block {
  int64_t document_begin, query_begin, query_end, head;
};

}  // namespace

Operation attention_operation() {
  return {"attention",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t n_heads = options.integer("n_heads"), n_kv_heads = options.integer("n_kv_heads"), head_dim = options.integer("head_dim");
            const bool fits = in.size() == 4 && n_heads > 0 && n_kv_heads > 0 && n_heads % n_kv_heads == 0 && head_dim > 0 && in[0].shape.size() == 2 && in[0].dtype == DType::F32 &&
                              in[1].dtype == DType::F32 && in[2].dtype == DType::F32 && in[0].shape[1] == n_heads * head_dim && in[1].shape == in[2].shape &&
                              in[1].shape == Shape{in[0].shape[0], n_kv_heads * head_dim} && in[3].dtype == DType::I32 && in[3].count() >= 1;
            if (!fits) return mismatch("q F32 [T, n_heads · head_dim], k and v F32 [T, n_kv_heads · head_dim], offsets I32 [documents + 1]", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t n_heads = options.integer("n_heads"), n_kv_heads = options.integer("n_kv_heads"), head_dim = options.integer("head_dim");
            const int64_t window = options.integer("sliding_window"), T = in[0].extent(0), width = n_heads * head_dim, kv_width = n_kv_heads * head_dim;
            const float scale = static_cast<float>(options.number("scale"));
            const int32_t* offsets = in[3].as<int32_t>();
            const int64_t n_documents = in[3].count() - 1;
            if (offsets[0] != 0 || offsets[n_documents] != T) return Status::error("the document offsets do not cover the " + std::to_string(T) + " tokens");
            std::vector<Block> blocks;
            for (int64_t d = 0; d < n_documents; ++d) {
              if (offsets[d + 1] < offsets[d]) return Status::error("document " + std::to_string(d) + " ends before it begins");
              for (int64_t head = 0; head < n_heads; ++head)
                for (int64_t q = offsets[d]; q < offsets[d + 1]; q += query_block) blocks.push_back({offsets[d], q, std::min<int64_t>(q + query_block, offsets[d + 1]), head});
            }
            context.pool.parallel_for(static_cast<int64_t>(blocks.size()), [&](int64_t index) {
              if (context.cancelled()) return;
              const Block& block = blocks[static_cast<size_t>(index)];
              const int64_t kv_column = block.head / (n_heads / n_kv_heads) * head_dim;
              const int64_t first_key = window > 0 ? std::max(block.document_begin, block.query_begin - window + 1) : block.document_begin;
              const int64_t n_queries = block.query_end - block.query_begin, n_keys = block.query_end - first_key;
              static thread_local std::vector<float> scores, transposed;
              scores.resize(static_cast<size_t>(n_queries * n_keys));
              const float* q = in[0].as<float>() + block.query_begin * width + block.head * head_dim;
              const float *k = in[1].as<float>() + first_key * kv_width + kv_column, *v = in[2].as<float>() + first_key * kv_width + kv_column;
              float* y = out[0].as<float>() + block.query_begin * width + block.head * head_dim;
              const bool small = head_dim < 32;
              auto transpose = [&](const float* source) {
                transposed.resize(static_cast<size_t>(head_dim * n_keys));
                for (int64_t key = 0; key < n_keys; ++key)
                  for (int64_t d = 0; d < head_dim; ++d) transposed[static_cast<size_t>(d * n_keys + key)] = source[key * kv_width + d];
              };
              if (small) {
                transpose(k);
                small_head_scores(q, width, transposed.data(), n_queries, n_keys, head_dim, scores.data());
              } else {
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(n_queries), static_cast<int>(n_keys), static_cast<int>(head_dim), 1.0f, q,
                            static_cast<int>(width), k, static_cast<int>(kv_width), 0.0f, scores.data(), static_cast<int>(n_keys));
              }
              for (int64_t row = 0; row < n_queries; ++row) {
                const int64_t query = block.query_begin + row;
                const int64_t begin = window > 0 ? std::max<int64_t>(0, query - window + 1 - first_key) : 0;
                softmax_row(scores.data() + row * n_keys, begin, query - first_key + 1, n_keys, scale);
              }
              if (small) {
                transpose(v);
                small_head_mix(scores.data(), transposed.data(), n_queries, n_keys, head_dim, y, width);
              } else {
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(n_queries), static_cast<int>(head_dim), static_cast<int>(n_keys), 1.0f, scores.data(),
                            static_cast<int>(n_keys), v, static_cast<int>(kv_width), 0.0f, y, static_cast<int>(width));
              }
            });
            return context.cancelled() ? Status::cancelled() : Status::fine();
          }};
}

}  // namespace bitwright
