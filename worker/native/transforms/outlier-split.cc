// Columns of a residual, for the outliers of LLM.int8 (Dettmers et al., arXiv 2208.07339): what quantization takes from the weights that outlier inputs meet.
//
//   paper   here      shape   meaning
//   O       columns   k       I32: channels of the inputs that exceed the threshold
//   –       W, What   O × I   weight as it was, and as a reader computes it
//
// Cost: O · k.
#include "core/convert.h"
#include "core/operations.h"
#include "transforms/corrections.h"

namespace bitwright {

/// W and What [O, I] of any float types, columns I32 [k] → (W - What)[:, columns] F32 [O, k].
Operation residual_columns_operation() {
  return {"residual_columns",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 3 || in[0].shape.size() != 2 || !is_float(in[0].dtype) || !is_float(in[1].dtype) || in[1].shape != in[0].shape || in[2].dtype != DType::I32 || in[2].shape.size() != 1)
              return mismatch("two weights [O, I] and columns I32 [k]", in);
            out = {{DType::F32, {in[0].shape[0], in[2].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1), k = in[2].count();
            const int32_t* columns = in[2].as<int32_t>();
            for (int64_t j = 0; j < k; ++j)
              if (columns[j] < 0 || columns[j] >= I) return Status::error("column " + std::to_string(columns[j]) + " of " + std::to_string(I) + " was asked for");
            float* differences = out[0].as<float>();
            context.pool.parallel_chunks(O, 64, [&](int64_t begin, int64_t end) {
              for (int64_t o = begin; o < end; ++o)
                for (int64_t j = 0; j < k; ++j) differences[o * k + j] = static_cast<float>(element_of(in[0], o * I + columns[j]) - element_of(in[1], o * I + columns[j]));
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
