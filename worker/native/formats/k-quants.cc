// Weights into the blocks of a GGUF file, and back: the k-quants (super-blocks of 256 with 8 or 16 scales that are integers themselves) and Q8_0, Q5_1, Q5_0, Q4_1, Q4_0.
// They come from llama.cpp and have no paper; the layout is that of gguf-blocks.h, the search is our own, its steps are in gguf-search.h.
//
//   x, x̂       weights of a block and what is read back
//   w          importance of their columns (mean squared input) over its mean, and a fiftieth more, so that a column that no row has used is kept; 1 without
//              importance. What is made small is Σ w (x̂ - x)², the part of the output's error that lies on the diagonal of the Hessian
//   a, m       scale and min of a sub-block as real numbers: x̂ = a q - m
//
//   1. sub-block: a from the range, stretched and shrunken in 24 steps; codes to nearest; a and m by least squares from the codes; the best step is kept
//   2. super-block: d from the largest |a| (dmin from the largest m), both in 15 steps around what makes it the last integer; integers and codes to nearest
//   3. with the codes of each step d and dmin by least squares, and the codes once more; kept where the error is smaller
//
// Q8_0 has d = max |x| / 127 and codes to nearest, half away from zero: the bytes of the format's own writer. Deterministic: a block knows of no other, sums are double.
// Cost: about 60 · O · I roundings.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "formats/formats.h"
#include "formats/gguf-search.h"

namespace bitwright {
namespace {

/// Step 1.
GgufFit search_sub_block(const GgufLayout& layout, const float* x, const double* w) {
  GgufFit best = gguf_no_fit(layout, x, w);
  const GgufRange range = gguf_range(layout, x);
  for (int nth = 0; nth < gguf_tries(layout, range); ++nth)
    if (const GgufFit fit = gguf_fit(layout, x, w, range, nth); fit.error < best.error) best = fit;
  return best;
}

GgufBlock search_block(const GgufLayout& layout, const float* x, const double* w) {
  GgufFit fits[16];
  for (int s = 0; s < layout.n_subs(); ++s) fits[s] = search_sub_block(layout, x + s * layout.sub_size, w + s * layout.sub_size);
  const GgufLargest largest = gguf_largest(layout, fits);
  GgufTrial best = gguf_zero_trial(layout, x, w, layout.sub_size);
  for (int step = 0; step < gguf_steps && (largest.a != 0 || largest.m != 0); ++step)
    if (const GgufTrial trial = gguf_trial(layout, fits, largest, x, w, layout.sub_size, step); trial.error < best.error) best = trial;
  GgufBlock block;
  block.d = best.d;
  block.dmin = best.dmin;
  for (int s = 0; s < layout.n_subs(); ++s) {
    block.scale[s] = gguf_scale_under(layout, gguf_of_half(best.first_d), fits[s].a);
    block.min[s] = gguf_min_under(layout, gguf_of_half(best.first_dmin), fits[s].m);
    const double a = gguf_of_half(best.d) * block.scale[s], m = gguf_of_half(best.dmin) * block.min[s], inverse = a == 0 ? 0 : 1 / a;
    for (int i = s * layout.sub_size; i < (s + 1) * layout.sub_size; ++i) block.q[i] = gguf_code_of(layout, x[i], inverse, m);
  }
  return block;
}

GgufBlock plain_block(const GgufLayout& layout, const float* x) {
  GgufBlock block;
  float largest = 0;
  for (int i = 0; i < layout.n_weights; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = gguf_plain_scale(largest);
  block.d = float_to_f16(d);
  block.scale[0] = 1;
  for (int i = 0; i < layout.n_weights; ++i) block.q[i] = gguf_plain_code(x[i], d);
  return block;
}

const GgufLayout* layout_from(const Options& options, GgufType& type, Status& status) {
  const GgufLayout* layout = gguf_layout(options.text("gguf_type"), type);
  if (layout == nullptr) status = Status::error("gguf_type " + options.text("gguf_type") + " is none of Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K");
  return layout;
}

}  // namespace

Operation gguf_encode_operation() {
  return {"gguf_encode",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || (in[1].present && (in[1].dtype != DType::F32 || in[1].count() != in[0].shape[1])))
              return mismatch("weight [O, I] in BF16, F16 or F32, and importance F32 [I] or none", in);
            GgufType type;
            Status status = Status::fine();
            const GgufLayout* layout = layout_from(options, type, status);
            if (layout == nullptr) return status;
            if (in[0].shape[1] % layout->n_weights != 0)
              return Status::error(std::string(layout->name) + " has blocks of " + std::to_string(layout->n_weights) + " columns, which do not divide " + std::to_string(in[0].shape[1]));
            out = {{DType::U8, {in[0].shape[0], in[0].shape[1] / layout->n_weights * layout->bytes}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            GgufType type;
            Status status = Status::fine();
            const GgufLayout& layout = *layout_from(options, type, status);
            const int64_t I = in[0].extent(1), per_row = I / layout.n_weights, n_blocks = in[0].extent(0) * per_row;
            if (in[1].present)
              for (int64_t c = 0; c < I; ++c)
                if (!(in[1].as<float>()[c] >= 0 && std::isfinite(in[1].as<float>()[c]))) return Status::error("the importance of column " + std::to_string(c) + " is " + std::to_string(in[1].as<float>()[c]));
            std::atomic<int64_t> bad{-1}, large{-1};
            with_weight_type(in[0].dtype, [&](auto kind) {
              using T = decltype(kind);
              context.pool.parallel_chunks(n_blocks, 16, [&](int64_t begin, int64_t end) {
                for (int64_t b = begin; b < end && !context.cancelled(); ++b) {
                  const int64_t row = b / per_row, first = b % per_row * layout.n_weights;
                  float x[256];
                  double w[256], largest = 0, difference = 0;
                  for (int i = 0; i < layout.n_weights; ++i) {
                    x[i] = T::load(in[0].as<typename T::Stored>()[row * I + first + i]);
                    largest = std::max(largest, static_cast<double>(std::fabs(x[i])));
                    difference += static_cast<double>(x[i] - x[i]);
                  }
                  if (difference != 0) {
                    bad = row;
                    continue;
                  }
                  double mean_importance = 0;
                  for (int i = 0; i < layout.n_weights; ++i) mean_importance += in[1].present ? static_cast<double>(in[1].as<float>()[first + i]) / layout.n_weights : 0;
                  for (int i = 0; i < layout.n_weights; ++i) w[i] = gguf_weight(in[1].present ? static_cast<double>(in[1].as<float>()[first + i]) : 0, mean_importance);
                  const GgufBlock block = type == GgufType::Q8_0 ? plain_block(layout, x) : search_block(layout, x, w);
                  if (largest > gguf_largest_weight(layout) || !std::isfinite(f16_to_float(block.d)) || !std::isfinite(f16_to_float(block.dmin))) large = row;
                  pack_gguf(type, block, out[0].as<uint8_t>() + row * out[0].extent(1) + b % per_row * layout.bytes);
                }
              });
            });
            if (context.cancelled()) return Status::cancelled();
            if (bad >= 0) return Status::error("the weight has a value that is NaN or infinite in row " + std::to_string(bad));
            if (large >= 0) return Status::error("a weight of row " + std::to_string(large) + " is too large for a scale in float16");
            return Status::fine();
          }};
}

Operation gguf_decode_operation() {
  return {"gguf_decode",
          [](const Specs& in, const Options& options, Specs& out) {
            GgufType type;
            Status status = Status::fine();
            const GgufLayout* layout = layout_from(options, type, status);
            if (in.size() != 1 || in[0].dtype != DType::U8 || in[0].shape.size() != 2) return mismatch("blocks U8 [O, bytes of a row]", in);
            if (layout == nullptr) return status;
            if (in[0].shape[1] % layout->bytes != 0) return Status::error("rows of " + std::to_string(in[0].shape[1]) + " bytes are no blocks of " + std::to_string(layout->bytes) + " (" + layout->name + ")");
            out = {{DType::F32, {in[0].shape[0], in[0].shape[1] / layout->bytes * layout->n_weights}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            GgufType type;
            Status status = Status::fine();
            const GgufLayout& layout = *layout_from(options, type, status);
            context.pool.parallel_chunks(in[0].count() / layout.bytes, 64, [&](int64_t begin, int64_t end) {
              GgufBlock block;
              for (int64_t b = begin; b < end; ++b) {
                unpack_gguf(type, in[0].as<uint8_t>() + b * layout.bytes, block);
                gguf_values(layout, block, out[0].as<float>() + b * layout.n_weights);
              }
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
