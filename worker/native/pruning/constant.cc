// The zeros that a weight has: what a constant mask keeps, and how sparse a weight is.
//
//   zero_mask   weight [O, I], option epsilon → the mask U8 [O, I]: 1 where |weight| ≤ epsilon; and F64 [2]: how many they are, rows of nothing else
//
// Epsilon 1e-8 is that of llm-compressor's ConstantPruningModifier. Cost: one pass.
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "pruning/pruning.h"

namespace bitwright {

Operation zero_mask_operation() {
  return {"zero_mask",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I]", in);
            if (!(options.number("epsilon") >= 0)) return Status::error("epsilon " + std::to_string(options.number("epsilon")) + " is not at least 0");
            out = {{DType::U8, in[0].shape}, {DType::F64, {2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            const float epsilon = static_cast<float>(options.number("epsilon"));
            uint8_t* mask = out[0].as<uint8_t>();
            std::vector<int64_t> zeros(static_cast<size_t>(O));
            context.pool.parallel_chunks(O, 16, [&](int64_t begin, int64_t end) {
              for (int64_t r = begin; r < end; ++r)
                for (int64_t j = 0; j < I; ++j) {
                  const int64_t i = r * I + j;
                  mask[i] = std::fabs(static_cast<float>(element_of(in[0], i))) <= epsilon;
                  zeros[static_cast<size_t>(r)] += mask[i];
                }
            });
            double* counts = out[1].as<double>();
            counts[0] = counts[1] = 0;
            for (const int64_t n : zeros) {
              counts[0] += static_cast<double>(n);
              counts[1] += n == I;
            }
            return Status::fine();
          }};
}

}  // namespace bitwright
