// log Σ e^x of a row, in nats: exponentials in float lanes, sums of 4096 in double. Defined in cross-entropy.cc.
#pragma once
#include <cstdint>

namespace bitwright {

double log_sum_exp(const float* row, int64_t n);

}  // namespace bitwright
