// Embedding: row ids[t] of the table for every token t. Cost: T · I copies.
#include "core/convert.h"
#include "forward/forward.h"

namespace bitwright {

Operation embedding_operation() {
  return {"embedding",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || in[0].shape.size() != 2 || !is_float(in[0].dtype) || in[1].dtype != DType::I32 || in[1].shape.size() != 1)
              return mismatch("a float table [V, I] and ids I32 [T]", in);
            out = {{DType::F32, {in[1].shape[0], in[0].shape[1]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t n_tokens = in[1].extent(0), width = in[0].extent(1), vocabulary = in[0].extent(0);
            const int32_t* ids = in[1].as<int32_t>();
            for (int64_t t = 0; t < n_tokens; ++t)
              if (ids[t] < 0 || ids[t] >= vocabulary)
                return Status::error("token id " + std::to_string(ids[t]) + " at position " + std::to_string(t) + " is outside the vocabulary of " + std::to_string(vocabulary));
            context.pool.parallel_chunks(n_tokens, 512, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) floats_of(in[0], ids[t] * width, width, out[0].as<float>() + t * width);
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
