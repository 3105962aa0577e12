// Blocks of a codebook, as bitsandbytes stores weights: NF4 under the largest magnitude of each block (Dettmers et al., QLoRA, arXiv 2305.14314), and
// these magnitudes again in 8 bits (double quantization; the codebook of Dettmers, arXiv 1511.04561). Blocks run through the rows of a weight, end to end.
//
//   n            weights, or magnitudes
//   m_b          largest magnitude of block b of `blocksize` values
//   code         of x: the number of middles between neighbours of the sorted codebook that lie below x · (1 / m_b), in float32
//   4 bits       x̂ = rd(codebook[code] · m_b), two codes in a byte, the first in the high nibble            4 + 32 / blocksize bits per weight
//   8 bits       m̂ = codebook[code] · M_b + offset; of m - offset, offset = mean m; blocks of 256           4 + 8 / blocksize + 32 / (256 · blocksize)
//
//   blockwise_codes     x [O, I] or [n], codebook F32 [256 or fewer] ascending → U8 [n], m F32 [blocks]
//   blockwise_values    codes U8 [n], m F32, codebook F32, offset F32 [1] or none → in dtype, [rows, columns]
//   center              m F32 [n] → m - mean F32 [n], mean F32 [1]; the mean summed in double
//   pack_nibbles        U8 [n] → U8 [⌈n / 2⌉, 1]; unpack_nibbles back
//
// Differences from bitsandbytes 0.50: the mean is rounded once, theirs is a float32 sum in an order of its own (they differ in the last place); the last block,
// where it is shorter, is multiplied by 1 / m as every block on their GPU is. Cost: O · I · log2 of the codebook.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "formats/formats.h"

namespace bitwright {
namespace {

int64_t blocks_of(int64_t n, int64_t blocksize) { return (n + blocksize - 1) / blocksize; }

Status check_blocksize(const Options& options) {
  const int64_t blocksize = options.integer("blocksize");
  return blocksize >= 1 && blocksize <= 1 << 20 ? Status::fine() : Status::error("a blocksize of " + std::to_string(blocksize) + " is not between 1 and 1048576");
}

bool is_codebook(const TensorSpec& spec) { return spec.dtype == DType::F32 && spec.shape.size() == 1 && spec.shape[0] >= 2 && spec.shape[0] <= 256; }

}  // namespace

Operation blockwise_codes_operation() {
  return {"blockwise_codes",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || !is_codebook(in[1])) return mismatch("values in BF16, F16 or F32, and a codebook F32 of 2 to 256", in);
            if (Status status = check_blocksize(options); !status.ok()) return status;
            out = {{DType::U8, {in[0].count()}}, {DType::F32, {blocks_of(in[0].count(), options.integer("blocksize"))}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t n = in[0].count(), blocksize = options.integer("blocksize"), n_codes = in[1].count();
            const float* codebook = in[1].as<float>();
            if (!std::is_sorted(codebook, codebook + n_codes)) return Status::error("the codebook is not in ascending order");
            std::vector<float> middles;
            for (int64_t i = 0; i + 1 < n_codes; ++i) middles.push_back((codebook[i] + codebook[i + 1]) / 2);
            std::atomic<int64_t> bad{-1};
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              context.pool.parallel_chunks(out[1].count(), std::max<int64_t>(1, 16384 / blocksize), [&](int64_t begin, int64_t end) {
                for (int64_t b = begin; b < end; ++b) {
                  const auto* x = in[0].as<typename T::Stored>() + b * blocksize;
                  const int64_t count = std::min(blocksize, n - b * blocksize);
                  float largest = 0, difference = 0;
                  for (int64_t i = 0; i < count; ++i) {
                    largest = std::max(largest, std::fabs(T::load(x[i])));
                    difference += T::load(x[i]) - T::load(x[i]);
                  }
                  if (difference != 0) bad = b * blocksize;
                  out[1].as<float>()[b] = largest;
                  const float inverse = 1.0f / std::max(largest, 1e-38f);
                  for (int64_t i = 0; i < count; ++i) {
                    const float scaled = std::clamp(T::load(x[i]) * inverse, -1.0f, 1.0f);
                    out[0].as<uint8_t>()[b * blocksize + i] = static_cast<uint8_t>(std::lower_bound(middles.begin(), middles.end(), scaled) - middles.begin());
                  }
                }
              });
            });
            if (bad >= 0) return Status::error("the block that begins with value " + std::to_string(bad) + " has one that is NaN or infinite");
            return Status::fine();
          }};
}

Operation blockwise_values_operation() {
  return {"blockwise_values",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t rows = options.integer("rows"), columns = options.integer("columns");
            if (Status status = check_blocksize(options); !status.ok()) return status;
            const bool fits = in.size() == 4 && in[0].dtype == DType::U8 && rows >= 0 && columns >= 0 && in[0].count() == rows * columns && in[1].dtype == DType::F32 &&
                              in[1].count() == blocks_of(rows * columns, options.integer("blocksize")) && is_codebook(in[2]) && (!in[3].present || (in[3].dtype == DType::F32 && in[3].count() == 1));
            if (!fits) return mismatch("codes U8, magnitudes F32 of their blocks, codebook F32, offset F32 [1] or none", in);
            TensorSpec result{DType::F32, {rows, columns}};
            if (!dtype_from_name(options.text("dtype"), result.dtype) || !is_weight(result.dtype)) return Status::error("dtype " + options.text("dtype") + " is none of BF16, F16, F32");
            out = {result};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t blocksize = options.integer("blocksize"), n_codes = in[2].count();
            const float offset = in[3].present ? in[3].as<float>()[0] : 0.0f;
            std::atomic<int> unknown{-1};
            with_weight_type(out[0].dtype, [&](auto type) {
              using T = decltype(type);
              context.pool.parallel_chunks(out[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const uint8_t code = in[0].as<uint8_t>()[i];
                  if (code >= n_codes) {
                    unknown = code;
                    continue;
                  }
                  const float value = in[2].as<float>()[code] * in[1].as<float>()[i / blocksize];
                  out[0].as<typename T::Stored>()[i] = T::store(in[3].present ? value + offset : value);
                }
              });
            });
            if (unknown >= 0) return Status::error("the code " + std::to_string(unknown) + " stands for nothing in a codebook of " + std::to_string(n_codes));
            return Status::fine();
          }};
}

Operation center_operation() {
  return {"center",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].shape.size() != 1) return mismatch("values F32 [n]", in);
            out = {in[0], {DType::F32, {1}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            double sum = 0;
            for (int64_t i = 0; i < in[0].count(); ++i) sum += static_cast<double>(in[0].as<float>()[i]);
            const float mean = in[0].count() == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(in[0].count()));
            for (int64_t i = 0; i < in[0].count(); ++i) out[0].as<float>()[i] = in[0].as<float>()[i] - mean;
            out[1].as<float>()[0] = mean;
            return Status::fine();
          }};
}

Operation pack_nibbles_operation() {
  return {"pack_nibbles",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::U8 || in[0].shape.size() != 1) return mismatch("codes U8 [n]", in);
            out = {{DType::U8, {(in[0].count() + 1) / 2, 1}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t n = in[0].count();
            const uint8_t* codes = in[0].as<uint8_t>();
            context.pool.parallel_chunks(out[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) out[0].as<uint8_t>()[i] = static_cast<uint8_t>((codes[2 * i] & 15u) << 4 | (2 * i + 1 < n ? codes[2 * i + 1] & 15u : 0u));
            });
            return Status::fine();
          }};
}

Operation unpack_nibbles_operation() {
  return {"unpack_nibbles",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t count = options.integer("count", -1);
            if (in.size() != 1 || in[0].dtype != DType::U8 || count < 0 || in[0].count() != (count + 1) / 2) return mismatch("packed codes U8 of " + std::to_string(count) + " values", in);
            out = {{DType::U8, {count}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            context.pool.parallel_chunks(out[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) out[0].as<uint8_t>()[i] = static_cast<uint8_t>(in[0].as<uint8_t>()[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u);
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
