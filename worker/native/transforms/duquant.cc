// DuQuant's rotations (Lin et al., arXiv 2406.01721): the product with any matrices, one for each piece of a line. Which matrices, worker/src/transforms/duquant.ts says.
//
//   paper   here   shape            meaning
//   R̂       R      pieces × b × b   F64, block-diagonal; one for all pieces, or one for each
//   γ       gain   I                weight of the norm before, folded into the columns first
//
// Every piece v of b elements along the axis becomes v R: W R for axis 1, Rᵀ W for axis 0. Sums in double, rounded once to the dtype of the result. Cost: n · b for n elements.
#include "transforms/hadamard.h"
#include "transforms/rotation-lines.h"

namespace bitwright {
namespace {

/// v [size, lanes] ← Σ_i v_i R_ij. `work` has room for size · lanes.
void multiply(double* v, int64_t size, int64_t lanes, const double* R, double* work) {
  for (int64_t i = 0; i < size * lanes; ++i) work[i] = 0;
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      for (int64_t lane = 0; lane < lanes; ++lane) work[j * lanes + lane] += R[i * size + j] * v[i * lanes + lane];
  for (int64_t i = 0; i < size * lanes; ++i) v[i] = work[i];
}

}  // namespace

/// x (a weight or a bias), gain F [I] or none, R F64 [pieces or 1, b, b] → every piece times its R (or the one R), in `dtype`.
Operation rotate_operation() {
  return {"rotate",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 3 || in[2].dtype != DType::F64 || in[2].shape.size() != 3 || in[2].shape[1] != in[2].shape[2]) return mismatch("weight, gain and R F64 [pieces, b, b]", in);
            const Status status = check_rotated(in, 1, in[2].shape[1], options, out);
            if (!status.ok()) return status;
            const RotationShape shape(in[0], options.integer("axis"), in[2].shape[1]);
            if (in[2].shape[0] != 1 && in[2].shape[0] != shape.extent() / shape.size) return mismatch("one R, or one for each piece", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const RotationShape shape(in[0], options.integer("axis"), in[2].extent(1));
            const double* R = in[2].as<double>();
            const int64_t next = in[2].extent(0) == 1 ? 0 : shape.size * shape.size;
            over_vectors(context.pool, in[0], in[1], out[0], shape, shape.size, [&](int64_t piece, double* v, int64_t lanes, double* work) { multiply(v, shape.size, lanes, R + piece * next, work); });
            return Status::fine();
          }};
}

}  // namespace bitwright
