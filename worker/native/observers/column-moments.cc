// Power sums of every input channel over the calibration rows: what kurtosis and outlier statistics are made of.
//
//   rows of the result   Σ x, Σ x², Σ x³, Σ x⁴, max |x|      [5, I], F64, in place
//
// Sums are double and run down each column in the order of the rows. Cost: 8 · T · I.
#include <algorithm>
#include <cmath>

#include "core/operations.h"
#include "core/vector-math.h"
#include "observers/column-moments.h"

namespace bitwright {
namespace {

BITWRIGHT_VECTOR void add_row(const float* x, double* moments, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double value = x[i], square = value * value;
    moments[i] += value;
    moments[stride + i] += square;
    moments[2 * stride + i] += square * value;
    moments[3 * stride + i] += square * square;
    // A NaN is kept, so that it is seen.
    const double magnitude = std::fabs(value), known = moments[4 * stride + i];
    moments[4 * stride + i] = magnitude > known || magnitude != magnitude ? magnitude : known;
  }
}

}  // namespace

Operation column_moments_operation() {
  return {"column_moments_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 2 || in[1].dtype != DType::F32 || in[1].shape.size() != 2 || in[0].dtype != DType::F64 || in[0].shape != Shape{5, in[1].shape[1]}) return mismatch("moments F64 [5, I] and x F32 [T, I]", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t T = in[1].extent(0), I = in[1].extent(1);
            context.pool.parallel_chunks(I, 64, [&](int64_t begin, int64_t end) {
              for (int64_t t = 0; t < T; ++t) add_row(in[1].as<float>() + t * I + begin, in[0].as<double>() + begin, I, end - begin);
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
