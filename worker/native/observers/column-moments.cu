// Power sums of input channels on a CUDA device: see column-moments.cc. Sums are double, over stretches of rows whose number follows from the shape.
#include "cuda/columns.cuh"
#include "observers/kernels.h"

namespace bitwright::cuda {
namespace {

struct Moments {
  double sums[4], largest;
};
struct AddMoments {
  __device__ Moments operator()(const Moments& a, const Moments& b) const {
    // A NaN is kept, so that it is seen.
    const double largest = b.largest > a.largest || b.largest != b.largest ? b.largest : a.largest;
    return {{a.sums[0] + b.sums[0], a.sums[1] + b.sums[1], a.sums[2] + b.sums[2], a.sums[3] + b.sums[3]}, largest};
  }
};

}  // namespace

void column_moments_accumulate(Context& context, const Views& in, const Views&, const Options&) {
  const int64_t T = in[1].extent(0), I = in[1].extent(1);
  const float* x = in[1].as<float>();
  double* moments = in[0].as<double>();
  for_columns(
      context, T, I, Moments{},
      [=] __device__(int64_t row, int64_t column) {
        const double value = x[row * I + column], square = value * value;
        return Moments{{value, square, square * value, square * square}, fabs(value)};
      },
      AddMoments{},
      [=] __device__(int64_t column, Moments found) {
        const Moments before{{moments[column], moments[I + column], moments[2 * I + column], moments[3 * I + column]}, moments[4 * I + column]};
        const Moments after = AddMoments{}(before, found);
        for (int power = 0; power < 4; ++power) moments[power * I + column] = after.sums[power];
        moments[4 * I + column] = after.largest;
      });
}

}  // namespace bitwright::cuda
