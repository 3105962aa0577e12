// Magnitude pruning on a CUDA device: see magnitude.cc.
#include "cuda/launch.cuh"
#include "pruning/kernels.h"
#include "pruning/select.h"

namespace bitwright::cuda {
namespace {

template <class Stored>
void write_pruned(Context& context, int64_t n, const Stored* from, const uint8_t* mask, Stored* to) {
  for_each(context, n, [=] __device__(int64_t i) { to[i] = mask[i] != 0 ? Stored{} : from[i]; });
}

}  // namespace

void prune_magnitude(Context& context, const Views& in, const Views& out, const Options& options) {
  Sparsity sparsity;
  (void)Sparsity::from(options, in[0].extent(1), sparsity);
  const int64_t n = in[0].count();
  const FloatCopy weight(context, in[0]);
  uint8_t* mask = out[1].as<uint8_t>();
  select_smallest(context, n, weight.data(), sparsity.of(n), mask);
  with_weight_type(in[0].dtype, [&](auto type) {
    using Stored = typename decltype(type)::Stored;
    write_pruned(context, n, in[0].as<Stored>(), mask, out[0].as<Stored>());
  });
}

}  // namespace bitwright::cuda
