// What attention and its gradient have alike, on every backend; the functions are defined in attention.cc.
#pragma once
#include <cstdint>

#include "core/operation.h"
#include "core/portable.h"

namespace bitwright {

/// T tokens of documents that lie behind each other; n_heads / n_kv_heads heads of queries read one head of keys and values. Queries are those of the
/// tokens first_query … end_query: all of them but where attention is computed a range of rows at a time.
struct Heads {
  int64_t T, n_heads, n_kv_heads, head_dim, window, n_documents, first_query, end_query;
  float scale;
  /// in: q, k, v, offsets.
  static Heads from(const Views& in, const Options& options) {
    const int64_t first_query = options.integer("first_query", 0);
    return {in[1].extent(0),   options.integer("n_heads"), options.integer("n_kv_heads"), options.integer("head_dim"), options.integer("sliding_window"),
            in[3].count() - 1, first_query,                first_query + in[0].extent(0), static_cast<float>(options.number("scale"))};
  }
  BITWRIGHT_PORTABLE int64_t width() const { return n_heads * head_dim; }
  BITWRIGHT_PORTABLE int64_t kv_width() const { return n_kv_heads * head_dim; }
  /// Query heads that share keys and values.
  BITWRIGHT_PORTABLE int64_t group() const { return n_heads / n_kv_heads; }
};

/// Softmax of row[begin, end) times `scale` in place; zeros elsewhere in [0, width).
void softmax_row(float* row, int64_t begin, int64_t end, int64_t width, float scale);
/// Offsets must rise from 0 to T.
Status check_documents(const int32_t* offsets, int64_t n_documents, int64_t T);

}  // namespace bitwright
