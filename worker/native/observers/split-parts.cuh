// Inputs in two BF16 parts, x = high + middle (core/split-bf16.h, rounded): what Hessians are summed from on tensor cores.
#pragma once
#include "core/split-bf16.h"
#include "cuda/launch.cuh"

namespace bitwright::cuda {

/// Where products of parts are faster than one in F32, and the device has them.
inline bool sums_by_parts(const Context& context, int64_t n_tokens, int64_t n_columns) { return context.has_bf16() && n_columns >= 128 && n_tokens >= 16; }

inline void split_into(Context& context, const float* x, int64_t n, uint16_t* high, uint16_t* middle) {
  for_each(context, n, [=] __device__(int64_t i) {
    const RoundedParts split = split_rounded(x[i]);
    high[i] = split.high;
    middle[i] = split.middle;
  });
}

/// Both parts of n values.
class SplitInput {
 public:
  SplitInput(Context& context, const float* x, int64_t n) : parts_(context.scratch<uint16_t>(2 * n)), n_(n) { split_into(context, x, n, parts_.data(), parts_.data() + n); }
  const uint16_t* high() const { return parts_.data(); }
  const uint16_t* middle() const { return parts_.data() + n_; }

 private:
  Scratch<uint16_t> parts_;
  int64_t n_;
};

}  // namespace bitwright::cuda
