// Inputs in two BF16 parts, x = high + middle (core/split-bf16.h, rounded): what Hessians are summed from on tensor cores.
#pragma once
#include <algorithm>

#include "core/split-bf16.h"
#include "cuda/launch.cuh"

namespace bitwright::cuda {

/// Where products of parts are faster than one in F32, and the device has them.
inline bool sums_by_parts(const Context& context, int64_t n_tokens, int64_t n_columns) { return context.has_bf16() && n_columns >= 128 && n_tokens >= 16; }

/// Both parts of some of the T rows of x [T, I] at a time: 4 bytes for each number of at most 4096 rows.
class SplitInput {
 public:
  SplitInput(Context& context, const float* x, int64_t T, int64_t I) : context_(context), x_(x), I_(I), n_(std::min(T, split_rows) * I), parts_(context.scratch<uint16_t>(2 * n_)) {}
  void take(int64_t begin, int64_t rows) {
    const float* x = x_ + begin * I_;
    uint16_t *high = parts_.data(), *middle = high + n_;
    for_each(context_, rows * I_, [=] __device__(int64_t i) {
      const RoundedParts split = split_rounded(x[i]);
      high[i] = split.high;
      middle[i] = split.middle;
    });
  }
  const uint16_t* high() const { return parts_.data(); }
  const uint16_t* middle() const { return parts_.data() + n_; }

 private:
  Context& context_;
  const float* x_;
  int64_t I_, n_;
  Scratch<uint16_t> parts_;
};

/// fn(begin, rows) for T rows in such pieces.
template <class Fn>
void for_split_rows(int64_t T, const Fn& fn) {
  for (int64_t begin = 0; begin < T; begin += split_rows) fn(begin, std::min(split_rows, T - begin));
}

}  // namespace bitwright::cuda
