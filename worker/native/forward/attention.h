// What attention and its gradient have alike; defined in attention.cc.
#pragma once
#include <cstdint>

#include "core/status.h"

namespace bitwright {

/// Softmax of row[begin, end) times `scale` in place; zeros elsewhere in [0, width).
void softmax_row(float* row, int64_t begin, int64_t end, int64_t width, float scale);
/// Offsets must rise from 0 to T.
Status check_documents(const int32_t* offsets, int64_t n_documents, int64_t T);

}  // namespace bitwright
