// Embedding on a CUDA device: row ids[t] of the table for every token t.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {

void embedding(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t n_tokens = in[1].extent(0), width = in[0].extent(1), vocabulary = in[0].extent(0);
  const AnyFloat table(in[0]);
  const int32_t* ids = in[1].as<int32_t>();
  float* y = out[0].as<float>();
  FaultSlot* slot = context.fault([vocabulary](uint32_t position, uint32_t id) {
    return "token id " + std::to_string(static_cast<int32_t>(id)) + " at position " + std::to_string(position) + " is outside the vocabulary of " + std::to_string(vocabulary);
  });
  for_each(context, n_tokens, [=] __device__(int64_t t) {
    if (ids[t] < 0 || ids[t] >= vocabulary) report(slot, t, static_cast<uint32_t>(ids[t]));
  });
  if (vocabulary == 0) return;
  for_rows(context, n_tokens, width, [=] __device__(int64_t t, int64_t column) { y[t * width + column] = table.value(inside(ids[t], vocabulary) * width + column); });
}

}  // namespace bitwright::cuda
