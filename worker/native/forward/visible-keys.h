// Which keys a token sees: those of its document up to itself, at most `window` of them when that is not 0. Shared by the backends.
#pragma once
#include <cstdint>

#include "core/portable.h"

namespace bitwright {

/// First token of the document that holds `token`; offsets [n_documents + 1] rise from 0. Empty documents hold none. Stays inside [0, token] whatever the offsets say.
BITWRIGHT_PORTABLE inline int64_t document_begin(const int32_t* offsets, int64_t n_documents, int64_t token) {
  // The last offset that is not behind the token.
  int64_t low = 0, high = n_documents;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] <= token) low = middle;
    else high = middle;
  }
  const int64_t begin = offsets[low];
  return begin < 0 ? 0 : begin > token ? token : begin;
}

/// First key that a token sees; the last is itself.
BITWRIGHT_PORTABLE inline int64_t first_visible_key(int64_t token, int64_t document_begin, int64_t window) {
  const int64_t begin = token - window + 1;
  return window > 0 && begin > document_begin ? begin : document_begin;
}

/// Behind the last token of the document that holds `token`; inside (token, T] whatever the offsets say.
BITWRIGHT_PORTABLE inline int64_t document_end(const int32_t* offsets, int64_t n_documents, int64_t token, int64_t T) {
  // The first offset that is behind the token.
  int64_t low = 0, high = n_documents;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] <= token) low = middle + 1;
    else high = middle;
  }
  const int64_t end = offsets[low];
  return end > T ? T : end <= token ? token + 1 : end;
}

/// Last query that sees a key; those between see it too.
BITWRIGHT_PORTABLE inline int64_t last_seeing_query(int64_t key, int64_t document_end, int64_t window) {
  const int64_t last = key + window - 1;
  return window > 0 && last < document_end - 1 ? last : document_end - 1;
}

}  // namespace bitwright
