// Magnitude pruning: the smallest weights of a layer become zero, whatever they do to its output. Needs no data.
// Old, and analysed by Han et al., arXiv 1506.02626; the mask is that of llm-compressor's MagnitudePruningModifier, with ties cut off at the share that is asked.
//
//   prune_magnitude   weight [O, I] → the weight with zeros, and the mask U8 [O, I]: 1 where it became zero
//
// Cost: three passes over O · I weights.
#include <vector>

#include "core/convert.h"
#include "pruning/pruning.h"
#include "pruning/select.h"

namespace bitwright {

Operation prune_magnitude_operation() {
  return {"prune_magnitude",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1 || !is_weight(in[0].dtype) || in[0].shape.size() != 2) return mismatch("weight [O, I]", in);
            Sparsity sparsity;
            if (Status status = Sparsity::from(options, in[0].shape[1], sparsity); !status.ok()) return status;
            if (sparsity.structured()) return Status::error("magnitudes are compared in the whole layer, not in groups");
            out = {in[0], {DType::U8, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Sparsity sparsity;
            (void)Sparsity::from(options, in[0].extent(1), sparsity);
            const FloatView weight(in[0]);
            uint8_t* mask = out[1].as<uint8_t>();
            // The sign is no part of a key.
            select_smallest(context.pool, in[0].count(), weight.data(), sparsity.of(in[0].count()), mask);
            with_weight_type(in[0].dtype, [&](auto type) {
              using Stored = typename decltype(type)::Stored;
              const Stored* from = in[0].as<Stored>();
              Stored* to = out[0].as<Stored>();
              context.pool.parallel_chunks(in[0].count(), 1 << 16, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) to[i] = mask[i] != 0 ? Stored{} : from[i];
              });
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
