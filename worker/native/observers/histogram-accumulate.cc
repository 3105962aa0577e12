// A histogram of all calibration inputs in bounded memory, for observers that look at how values are spread.
//
//   counts I64 [2 B] in place, bins as histogram-bins.h has them; facts F64 [4] in place: width of a bin (0 at first), smallest and largest finite value, values that
//   are NaN or infinite. Begins with counts of 0 and facts 0, +inf, -inf, 0.                                        cost 3 · T · I
#include "observers/histogram-accumulate.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "observers/histogram-bins.h"

namespace bitwright {

Operation histogram_accumulate_operation() {
  return {"histogram_accumulate",
          [](const Specs& in, const Options&, Specs&) {
            if (in.size() != 3 || in[0].dtype != DType::I64 || in[0].shape.size() != 1 || in[0].shape[0] < 2 || in[0].shape[0] % 2 != 0 || in[1].dtype != DType::F64 || in[1].shape != Shape{4} || in[2].dtype != DType::F32)
              return mismatch("counts I64 [2 B], facts F64 [4] and x F32", in);
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views&, const Options&) {
            const int64_t n_half = in[0].extent(0) / 2, n = in[2].count();
            int64_t* counts = in[0].as<int64_t>();
            double* facts = in[1].as<double>();
            const float* x = in[2].as<float>();
            std::mutex mutex;
            context.pool.parallel_chunks(n, 1 << 16, [&](int64_t begin, int64_t end) {
              double mn = INFINITY, mx = -INFINITY;
              int64_t n_odd = 0;
              for (int64_t i = begin; i < end; ++i) {
                if (!std::isfinite(x[i])) ++n_odd;
                else mn = std::min<double>(mn, x[i]), mx = std::max<double>(mx, x[i]);
              }
              const std::lock_guard<std::mutex> lock(mutex);
              facts[1] = std::min(facts[1], mn);
              facts[2] = std::max(facts[2], mx);
              facts[3] += static_cast<double>(n_odd);
            });
            const double before = facts[0], width = facts[1] > facts[2] ? before : width_for(before, std::max(-facts[1], facts[2]), n_half);
            if (before != 0 && width != before) {
              const int shift = std::ilogb(width) - std::ilogb(before);
              std::vector<int64_t> merged(static_cast<size_t>(2 * n_half));
              for (int64_t i = 0; i < 2 * n_half; ++i) merged[static_cast<size_t>(merged_bin(i, shift, n_half))] += counts[i];
              std::copy(merged.begin(), merged.end(), counts);
            }
            facts[0] = width;
            // Counts are whole numbers: the order in which chunks add theirs does not show.
            context.pool.parallel_chunks(n, 1 << 18, [&](int64_t begin, int64_t end) {
              std::vector<int64_t> own(static_cast<size_t>(2 * n_half));
              for (int64_t i = begin; i < end; ++i)
                if (std::isfinite(x[i])) ++own[static_cast<size_t>(bin_of(x[i], width, n_half))];
              const std::lock_guard<std::mutex> lock(mutex);
              for (int64_t i = 0; i < 2 * n_half; ++i) counts[i] += own[static_cast<size_t>(i)];
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
