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
#include <cstring>
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

using Lanes = float __attribute__((vector_size(n_lanes * sizeof(float)), aligned(alignof(float)), may_alias));
using IntLanes = int32_t __attribute__((vector_size(n_lanes * sizeof(int32_t)), aligned(alignof(int32_t)), may_alias));

/// row[i] ← e^(row[i] - peak) for 64 values; below -87 it is e^-87. As exp_lane computes it, four vectors abreast: each step waits for the one before.
inline __attribute__((always_inline)) void exponentials(Lanes* row, float peak) {
  Lanes x[4], scale[4], p[4];
  for (int i = 0; i < 4; ++i) x[i] = row[i] - peak;
  for (int i = 0; i < 4; ++i) x[i] = x[i] < -87.0f ? Lanes{} - 87.0f : x[i];
  for (int i = 0; i < 4; ++i) p[i] = x[i] * 1.44269504f + 12582912.0f;
  for (int i = 0; i < 4; ++i) {
    const IntLanes exponent = (reinterpret_cast<const IntLanes&>(p[i]) - (0x4b400000 - 127)) << 23;
    scale[i] = reinterpret_cast<const Lanes&>(exponent);
  }
  for (int i = 0; i < 4; ++i) p[i] -= 12582912.0f;
  for (int i = 0; i < 4; ++i) x[i] = (x[i] - p[i] * 0.693359375f) - p[i] * -2.12194440e-4f;
  for (int i = 0; i < 4; ++i) p[i] = x[i] * (1.0f / 720.0f) + 1.0f / 120.0f;
  for (const float coefficient : {1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
    for (int i = 0; i < 4; ++i) p[i] = p[i] * x[i] + coefficient;
  for (int i = 0; i < 4; ++i) row[i] = p[i] * scale[i];
}

/// Σ lanes by halves: a fixed order, and short.
inline __attribute__((always_inline)) float sum_by_halves(const Lanes& lanes) {
  using Eight = float __attribute__((vector_size(32)));
  using Four = float __attribute__((vector_size(16)));
  Eight eight[2];
  std::memcpy(eight, &lanes, sizeof eight);
  eight[0] += eight[1];
  Four four[2];
  std::memcpy(four, eight, sizeof four);
  four[0] += four[1];
  return (four[0][0] + four[0][2]) + (four[0][1] + four[0][3]);
}

inline __attribute__((always_inline)) float max_by_halves(const Lanes& lanes) {
  using Eight = float __attribute__((vector_size(32)));
  using Four = float __attribute__((vector_size(16)));
  Eight eight[2];
  std::memcpy(eight, &lanes, sizeof eight);
  eight[0] = eight[0] > eight[1] ? eight[0] : eight[1];
  Four four[2];
  std::memcpy(four, eight, sizeof four);
  four[0] = four[0] > four[1] ? four[0] : four[1];
  return std::max(std::max(four[0][0], four[0][2]), std::max(four[0][1], four[0][3]));
}

/// One query of a small head, for which BLAS would spend its time packing: scores in registers over 64 keys, then exponentials and the mix of 8 columns
/// at a time. keys and values are transposed (head_dim × stride) and zero beyond their end; stride and the row are whole multiples of 64 keys.
BITWRIGHT_VECTOR void small_head_row(const float* q, const float* keys, const float* values, int64_t stride, int64_t head_dim, int64_t begin, int64_t end, float scale, float* row, float* out) {
  constexpr int64_t tile = 4 * n_lanes;
  const int64_t first = begin / tile * tile, last = (end + tile - 1) / tile * tile;
  for (int64_t key = first; key < last; key += tile) {
    Lanes sums[4] = {};
    for (int64_t d = 0; d < head_dim; ++d) {
      const Lanes* column = reinterpret_cast<const Lanes*>(keys + d * stride + key);
      for (int i = 0; i < 4; ++i) sums[i] += q[d] * column[i];
    }
    for (int i = 0; i < 4; ++i) reinterpret_cast<Lanes*>(row + key)[i] = sums[i] * scale;
  }
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  std::fill(row + first, row + begin, nothing);
  std::fill(row + end, row + last, nothing);
  Lanes maxima[4] = {Lanes{} + nothing, Lanes{} + nothing, Lanes{} + nothing, Lanes{} + nothing};
  for (int64_t key = first; key < last; key += tile)
    for (int i = 0; i < 4; ++i) {
      const Lanes x = reinterpret_cast<const Lanes*>(row + key)[i];
      maxima[i] = x > maxima[i] ? x : maxima[i];
    }
  for (int i = 1; i < 4; ++i) maxima[0] = maxima[i] > maxima[0] ? maxima[i] : maxima[0];
  const float peak = max_by_halves(maxima[0]);
  Lanes totals[4] = {};
  for (int64_t key = first; key < last; key += tile) {
    Lanes* weights = reinterpret_cast<Lanes*>(row + key);
    exponentials(weights, peak);
    for (int i = 0; i < 4; ++i) totals[i] += weights[i];
  }
  // Keys outside [begin, end) weigh e^-87 at most: nothing beside the e^0 of the peak.
  const float inverse = 1.0f / sum_by_halves((totals[0] + totals[1]) + (totals[2] + totals[3]));
  for (int64_t d = 0; d < head_dim; d += 8) {
    const int64_t n = head_dim - d < 8 ? head_dim - d : 8;
    Lanes sums[8] = {};
    for (int64_t key = first; key < last; key += n_lanes) {
      const Lanes p = *reinterpret_cast<const Lanes*>(row + key);
      if (n == 8) {
        for (int i = 0; i < 8; ++i) sums[i] += p * *reinterpret_cast<const Lanes*>(values + (d + i) * stride + key);
      } else {
        for (int64_t i = 0; i < n; ++i) sums[i] += p * *reinterpret_cast<const Lanes*>(values + (d + i) * stride + key);
      }
    }
    for (int64_t i = 0; i < n; ++i) out[d + i] = sum_by_halves(sums[i]) * inverse;
  }
}

/// Floats on a cache line's border: a vector load that straddles two lines costs two.
class AlignedFloats {
 public:
  float* resized(int64_t n) {
    lines_.resize(static_cast<size_t>((n + n_lanes - 1) / n_lanes));
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
              static thread_local AlignedFloats scores, keys, values;
              const float* q = in[0].as<float>() + block.query_begin * width + block.head * head_dim;
              const float *k = in[1].as<float>() + first_key * kv_width + kv_column, *v = in[2].as<float>() + first_key * kv_width + kv_column;
              float* y = out[0].as<float>() + block.query_begin * width + block.head * head_dim;
              auto seen_from = [&](int64_t row) { return window > 0 ? std::max<int64_t>(0, block.query_begin + row - window + 1 - first_key) : 0; };
              auto seen_to = [&](int64_t row) { return block.query_begin + row - first_key + 1; };
              if (head_dim < 32) {
                const int64_t stride = (n_keys + 63) / 64 * 64;
                float* row_of_scores = scores.resized(stride);
                auto transpose = [&](const float* source, float* target) {
                  for (int64_t key = 0; key < n_keys; ++key)
                    for (int64_t d = 0; d < head_dim; ++d) target[d * stride + key] = source[key * kv_width + d];
                  for (int64_t d = 0; d < head_dim; ++d) std::fill(target + d * stride + n_keys, target + (d + 1) * stride, 0.0f);
                  return target;
                };
                const float* columns_of_k = transpose(k, keys.resized(head_dim * stride));
                const float* columns_of_v = transpose(v, values.resized(head_dim * stride));
                for (int64_t row = 0; row < n_queries; ++row)
                  small_head_row(q + row * width, columns_of_k, columns_of_v, stride, head_dim, seen_from(row), seen_to(row), scale, row_of_scores, y + row * width);
                return;
              }
              float* all_scores = scores.resized(n_queries * n_keys);
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
