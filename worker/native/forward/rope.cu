// Rotary embedding on a CUDA device: see rope.cc.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {

void rope(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t T = in[0].extent(0), width = in[0].extent(1), head_dim = options.integer("head_dim"), pairs = in[1].extent(1), n_positions = in[1].extent(0);
  const float *x = in[0].as<float>(), *cos = in[1].as<float>(), *sin = in[2].as<float>();
  const int32_t* positions = in[3].as<int32_t>();
  float* y = out[0].as<float>();
  FaultSlot* slot = context.fault([n_positions](uint32_t, uint32_t position) {
    return "position " + std::to_string(static_cast<int32_t>(position)) + " is outside the table of " + std::to_string(n_positions) + " positions";
  });
  for_each(context, T, [=] __device__(int64_t t) {
    if (positions[t] < 0 || positions[t] >= n_positions) report(slot, t, static_cast<uint32_t>(positions[t]));
  });
  if (n_positions == 0) return;
  for_rows(context, T, width, [=] __device__(int64_t t, int64_t column) {
    const uint32_t i = static_cast<uint32_t>(column) % static_cast<uint32_t>(head_dim);
    const float* head = x + t * width + column - i;
    float value = head[i];
    if (i < 2 * pairs) {
      const bool first = i < pairs;
      const int64_t pair = first ? i : i - pairs, at = inside(positions[t], n_positions) * pairs + pair;
      value = first ? head[pair] * cos[at] - head[pair + pairs] * sin[at] : head[pair + pairs] * cos[at] + head[pair] * sin[at];
    }
    y[t * width + column] = value;
  });
}

}  // namespace bitwright::cuda
