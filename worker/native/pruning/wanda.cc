// Wanda: in every row the weights go whose magnitude times the norm of their input is smallest; the others stay as they are.
// Sun et al., arXiv 2306.11695 (equation 1 and section 3.2), as llm-compressor 0.13 runs it.
//
//   paper     here                meaning
//   S_ij      score               |W_ij| · ‖X_j‖₂
//   ‖X_j‖₂    √importance[j]      importance F32 [I]: diag(H) of the calibration inputs, up to a factor that changes no order
//
//   prune_wanda   weight [O, I], importance F32 [I] → the weight with zeros, and the mask U8 [O, I]
//
// A share is taken from each row alone, n of m from each group of m neighbours. Cost: I log I comparisons at most for each of O rows.
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "pruning/pruning.h"
#include "pruning/select.h"

namespace bitwright {

Operation prune_wanda_operation() {
  return {"prune_wanda",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].shape != Shape{in[0].shape[1]})
              return mismatch("weight [O, I] and importance F32 [I]", in);
            Sparsity sparsity;
            if (Status status = Sparsity::from(options, in[0].shape[1], sparsity); !status.ok()) return status;
            out = {in[0], {DType::U8, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t O = in[0].extent(0), I = in[0].extent(1);
            Sparsity sparsity;
            (void)Sparsity::from(options, I, sparsity);
            std::vector<float> norms(static_cast<size_t>(I));
            for (int64_t j = 0; j < I; ++j) {
              const float importance = in[1].as<float>()[j];
              if (!(importance >= 0) || !std::isfinite(importance)) return Status::error("the importance of column " + std::to_string(j) + " is " + std::to_string(importance));
              norms[static_cast<size_t>(j)] = std::sqrt(importance);
            }
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              const auto* from = in[0].as<typename T::Stored>();
              auto* to = out[0].as<typename T::Stored>();
              uint8_t* mask = out[1].as<uint8_t>();
              context.pool.parallel_chunks(O, 16, [&](int64_t begin, int64_t end) {
                std::vector<float> scores(static_cast<size_t>(I));
                for (int64_t r = begin; r < end; ++r) {
                  for (int64_t j = 0; j < I; ++j) scores[static_cast<size_t>(j)] = std::fabs(T::load(from[r * I + j])) * norms[static_cast<size_t>(j)];
                  if (!sparsity.structured()) select_smallest_here(I, scores.data(), sparsity.of(I), mask + r * I);
                  else
                    for (int64_t j = 0; j < I; ++j) {
                      const float* group = scores.data() + j / sparsity.m * sparsity.m;
                      mask[r * I + j] = is_among_smallest([=](int64_t i) { return group[i]; }, j % sparsity.m, sparsity.n, sparsity.m);
                    }
                  for (int64_t j = 0; j < I; ++j) to[r * I + j] = mask[r * I + j] != 0 ? typename T::Stored{} : from[r * I + j];
                }
              });
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
