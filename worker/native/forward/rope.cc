// Rotary embedding (Su et al., arXiv 2104.09864) in the half-split layout: columns i and i + r/2 of a head form a pair, r = rotary columns.
// Columns behind r pass through. The tables hold cos and sin per position and pair. Cost: 3 · T · I operations.
#include "forward/forward.h"

namespace bitwright {

Operation rope_operation() {
  return {"rope",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t head_dim = options.integer("head_dim");
            const bool fits = in.size() == 4 && in[0].dtype == DType::F32 && in[0].shape.size() == 2 && head_dim > 0 && in[0].shape[1] % head_dim == 0 && in[1].dtype == DType::F32 &&
                              in[1].shape.size() == 2 && in[2].dtype == DType::F32 && in[1].shape == in[2].shape && in[1].shape[1] * 2 <= head_dim && in[3].dtype == DType::I32 &&
                              in[3].count() == in[0].shape[0];
            if (!fits) return mismatch("x F32 [T, heads · head_dim], cos and sin F32 [positions, rotary/2], positions I32 [T]", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t T = in[0].extent(0), width = in[0].extent(1), head_dim = options.integer("head_dim"), pairs = in[1].extent(1), n_positions = in[1].extent(0);
            const int32_t* positions = in[3].as<int32_t>();
            for (int64_t t = 0; t < T; ++t)
              if (positions[t] < 0 || positions[t] >= n_positions)
                return Status::error("position " + std::to_string(positions[t]) + " is outside the table of " + std::to_string(n_positions) + " positions");
            context.pool.parallel_chunks(T, 512, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                const float *cos = in[1].as<float>() + positions[t] * pairs, *sin = in[2].as<float>() + positions[t] * pairs;
                for (int64_t head = 0; head < width; head += head_dim) {
                  const float* x = in[0].as<float>() + t * width + head;
                  float* y = out[0].as<float>() + t * width + head;
                  for (int64_t i = 0; i < pairs; ++i) {
                    const float a = x[i], b = x[i + pairs];
                    y[i] = a * cos[i] - b * sin[i];
                    y[i + pairs] = b * cos[i] + a * sin[i];
                  }
                  for (int64_t i = 2 * pairs; i < head_dim; ++i) y[i] = x[i];
                }
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
