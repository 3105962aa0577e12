// Bias correction (Nagel et al., arXiv 1906.04721, section 4.2): what quantization moves the mean of every output by.
//
//   paper   here       shape   meaning
//   W       W          O × I   weight as it was
//   W̃       What       O × I   weight that a reader computes
//   E[x]    mean       I       mean of the inputs over the calibration tokens, F64
//           mean_hat   I       the same of the inputs as the runtime quantizes them
//   E[ỹ]-E[y]  - shift  O      shift = W E[x] - Ŵ E[x̃], which the bias takes
//
// Both products are double and in the order of the columns, so that what they differ by is not lost in them. Cost: 2 · O · I.
#include "core/convert.h"
#include "core/operations.h"
#include "transforms/corrections.h"

namespace bitwright {

/// W and What [O, I] of any float types, mean and mean_hat F64 [I] → F64 [O].
Operation output_shift_operation() {
  return {"output_shift",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 4 || !is_float(in[0].dtype) || !is_float(in[1].dtype) || in[0].shape.size() != 2 || in[1].shape != in[0].shape || in[2].dtype != DType::F64 || in[3].dtype != DType::F64 ||
                in[2].shape != Shape{in[0].shape[1]} || in[3].shape != in[2].shape)
              return mismatch("two weights [O, I] and two means F64 [I]", in);
            out = {{DType::F64, {in[0].shape[0]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            const double *mean = in[2].as<double>(), *mean_hat = in[3].as<double>();
            double* shift = out[0].as<double>();
            context.pool.parallel_chunks(O, 16, [&](int64_t begin, int64_t end) {
              for (int64_t o = begin; o < end; ++o) {
                double sum = 0;
                for (int64_t i = 0; i < I; ++i) sum += element_of(in[0], o * I + i) * mean[i] - element_of(in[1], o * I + i) * mean_hat[i];
                shift[o] = sum;
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
