// Choosing what becomes zero on a CUDA device: names of pruning.h.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void prune_magnitude(Context&, const Views& in, const Views& out, const Options&);
void prune_sparsegpt(Context&, const Views& in, const Views& out, const Options&);
void prune_wanda(Context&, const Views& in, const Views& out, const Options&);
void zero_mask(Context&, const Views& in, const Views& out, const Options&);

/// select_smallest of select.h: mask[i] = 1 for the k smallest of scores[0, n), of equal ones the first.
void select_smallest(Context&, int64_t n, const float* scores, int64_t k, uint8_t* mask);

}  // namespace bitwright::cuda
