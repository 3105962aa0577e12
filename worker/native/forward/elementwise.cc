// Elementwise operations: add, and silu(gate) · up (Shazeer, arXiv 2002.05202; silu(g) = g / (1 + e^-g)), with its gradient:
// dgate = dy · up · s · (1 + g · (1 − s)) and dup = dy · g · s, s = 1 / (1 + e^-g).
#include "core/vector-math.h"
#include "forward/forward.h"

namespace bitwright {
namespace {

constexpr int64_t grain = 1 << 15;

BITWRIGHT_VECTOR void add_values(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

BITWRIGHT_VECTOR void silu_mul_values(const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1.0f + exp_lane(-gate[i])) * up[i];
}

BITWRIGHT_VECTOR void silu_mul_gradients(const float* gate, const float* up, const float* dy, float* dgate, float* dup, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float s = 1.0f / (1.0f + exp_lane(-gate[i])), g = gate[i], back = dy[i];
    dgate[i] = back * up[i] * s * (1.0f + g * (1.0f - s));
    dup[i] = back * g * s;
  }
}

Status same_shape(const Specs& in, const Options&, Specs& out) {
  if (in.size() != 2 || in[0].dtype != DType::F32 || in[1].dtype != DType::F32 || in[0].shape != in[1].shape) return mismatch("two F32 tensors of one shape", in);
  out = {in[0]};
  return Status::fine();
}

}  // namespace

Operation add_operation() {
  return {"add", same_shape, [](RunContext& context, const Views& in, const Views& out, const Options&) {
            context.pool.parallel_chunks(in[0].count(), grain, [&](int64_t begin, int64_t end) {
              add_values(in[0].as<float>() + begin, in[1].as<float>() + begin, out[0].as<float>() + begin, end - begin);
            });
            return Status::fine();
          }};
}

Operation silu_mul_operation() {
  return {"silu_mul", same_shape, [](RunContext& context, const Views& in, const Views& out, const Options&) {
            context.pool.parallel_chunks(in[0].count(), grain, [&](int64_t begin, int64_t end) {
              silu_mul_values(in[0].as<float>() + begin, in[1].as<float>() + begin, out[0].as<float>() + begin, end - begin);
            });
            return Status::fine();
          }};
}

Operation silu_mul_backward_operation() {
  return {"silu_mul_backward",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || in[2].dtype != DType::F32 || in[2].shape != in[0].shape || !same_shape({in[0], in[1]}, options, out).ok()) return mismatch("gate, up and dy, F32 tensors of one shape", in);
            out = {in[0], in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            context.pool.parallel_chunks(in[0].count(), grain, [&](int64_t begin, int64_t end) {
              silu_mul_gradients(in[0].as<float>() + begin, in[1].as<float>() + begin, in[2].as<float>() + begin, out[0].as<float>() + begin, out[1].as<float>() + begin, end - begin);
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
