// The factor of every output channel that keeps its variance: γ = sqrt(E[x²] / E[Q(x)²]), after Banner et al., arXiv 1810.05723, section 4.2 (per-channel bias
// correction of the variance).
//
//   paper       here    shape   meaning
//   W_c         W       O × I   weight as it was; a channel is a row
//   W_c^q       What    O × I   weight that a reader computes
//               H       I × I   Hessian of the inputs, up to a factor; none: the identity, and what is kept is the norm of the row as in the paper
//   ξ_c²        sums    O × 2   w H wᵀ and ŵ H ŵᵀ, whose quotient is γ²
//
// The paper subtracts the mean of the channel first and gives it back; weights of linears have means near zero, and codes cannot move by a fraction, so that
// only the factor is left. WH and ŴH are given (they are products as any other); the sums are double, in the order of the columns. Cost: 2 · O · I.
#include "core/convert.h"
#include "core/operations.h"
#include "transforms/corrections.h"

namespace bitwright {

/// W and What [O, I] of any float types, WH and WhatH [O, I] (the weights themselves for the identity) → F64 [O, 2].
Operation variance_sums_operation() {
  return {"variance_sums",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 4 || in[0].shape.size() != 2) return mismatch("two weights [O, I] and their products with H", in);
            for (const TensorSpec& spec : in)
              if (!spec.present || !is_float(spec.dtype) || spec.shape != in[0].shape) return mismatch("two weights [O, I] and their products with H", in);
            out = {{DType::F64, {in[0].shape[0], 2}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            double* sums = out[0].as<double>();
            context.pool.parallel_chunks(O, 16, [&](int64_t begin, int64_t end) {
              for (int64_t o = begin; o < end; ++o) {
                double before = 0, after = 0;
                for (int64_t i = 0; i < I; ++i) {
                  before += element_of(in[0], o * I + i) * element_of(in[2], o * I + i);
                  after += element_of(in[1], o * I + i) * element_of(in[3], o * I + i);
                }
                sums[2 * o] = before;
                sums[2 * o + 1] = after;
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
