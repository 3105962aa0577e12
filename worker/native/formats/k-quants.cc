// Weights into the blocks of a GGUF file, and back: the k-quants (super-blocks of 256 with 8 or 16 scales that are integers themselves) and Q8_0, Q4_0.
// They come from llama.cpp and have no paper; the layout is that of gguf-blocks.h, the search below is our own.
//
//   x, x̂       weights of a block and what is read back
//   w          importance of their columns (mean squared input) over its mean, and a fiftieth more, so that a column that no row has used is kept; 1 without
//              importance. What is made small is Σ w (x̂ - x)², the part of the output's error that lies on the diagonal of the Hessian
//   a, m       scale and min of a sub-block as real numbers: x̂ = a q - m
//
//   1. sub-block: a from the range, stretched and shrunken in 24 steps; codes to nearest; a and m by least squares from the codes; the best step is kept
//   2. super-block: d from the largest |a| (dmin from the largest m), both in 15 steps around what makes it the last integer; integers and codes to nearest
//   3. with the codes of the best step d and dmin by least squares, and the codes once more; kept where the error is smaller
//
// Q8_0 has d = max |x| / 127 and codes to nearest, half away from zero: the bytes of the format's own writer. Deterministic: a block knows of no other, sums are double.
// Cost: about 60 · O · I roundings.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/convert.h"
#include "formats/formats.h"
#include "formats/gguf-blocks.h"

namespace bitwright {
namespace {

constexpr int n_stretches = 24, n_steps = 15;

/// Half away from zero.
int nearest(double value) { return static_cast<int>(std::lround(std::clamp(value, -1e6, 1e6))); }

struct Fit {
  double a = 0, m = 0, error = INFINITY;
};

/// Least squares a, m of x ≈ a q - m with m ≥ 0 (0 where there is none).
Fit fit_codes(const GgufLayout& layout, const float* x, const double* w, const int* q) {
  double sum_w = 0, sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0, sum_xx = 0;
  for (int i = 0; i < layout.sub_size; ++i) {
    sum_w += w[i];
    sum_q += w[i] * q[i];
    sum_qq += w[i] * q[i] * q[i];
    sum_x += w[i] * static_cast<double>(x[i]);
    sum_qx += w[i] * q[i] * static_cast<double>(x[i]);
    sum_xx += w[i] * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  Fit fit;
  const double determinant = sum_w * sum_qq - sum_q * sum_q;
  if (layout.has_min() && determinant > 1e-12 * sum_w * sum_qq) {
    fit.a = (sum_w * sum_qx - sum_q * sum_x) / determinant;
    fit.m = (sum_q * sum_qx - sum_qq * sum_x) / determinant;
  }
  if (!layout.has_min() || fit.m < 0 || fit.a < 0 || !(determinant > 1e-12 * sum_w * sum_qq)) {
    fit.m = 0;
    fit.a = sum_qq > 0 ? sum_qx / sum_qq : 0;
  }
  if (layout.scale_min >= 0 && fit.a < 0) fit.a = 0;
  fit.error = sum_xx + fit.a * fit.a * sum_qq + fit.m * fit.m * sum_w - 2 * fit.a * sum_qx + 2 * fit.m * sum_x - 2 * fit.a * fit.m * sum_q;
  return fit;
}

void codes_of(const GgufLayout& layout, const float* x, double a, double m, int* q) {
  const double inverse = a == 0 ? 0 : 1 / a;
  for (int i = 0; i < layout.sub_size; ++i) q[i] = std::clamp(nearest((static_cast<double>(x[i]) + m) * inverse), layout.q_min, layout.q_max);
}

/// Step 1.
Fit search_sub_block(const GgufLayout& layout, const float* x, const double* w) {
  float low = 0, high = 0;
  for (int i = 0; i < layout.sub_size; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  Fit best;
  best.a = 0;
  best.error = 0;
  for (int i = 0; i < layout.sub_size; ++i) best.error += w[i] * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  if (low == high) return best;
  int q[32];
  for (int step = 0; step < n_stretches; ++step) {
    const double stretch = 0.7 + 0.025 * step;
    for (const double sign : {1.0, -1.0}) {
      // Codes without a min reach one farther below zero: either end of the weights may lie there.
      if (layout.has_min() && sign < 0) continue;
      const double a = layout.has_min() ? static_cast<double>(high - low) / layout.q_max * stretch
                                        : sign * stretch * std::max(static_cast<double>(std::max(high, -low)) / -layout.q_min, 0.0);
      codes_of(layout, x, a, layout.has_min() ? -static_cast<double>(low) : 0, q);
      const Fit fit = fit_codes(layout, x, w, q);
      if (fit.error < best.error) best = fit;
    }
  }
  return best;
}

uint16_t half(double value) { return float_to_f16(static_cast<float>(value)); }
double of_half(uint16_t value) { return static_cast<double>(f16_to_float(value)); }

double error_of(const GgufLayout& layout, const GgufBlock& block, const float* x, const double* w) {
  float values[256];
  gguf_values(layout, block, values);
  double error = 0;
  for (int i = 0; i < layout.n_weights; ++i) error += w[i] * std::pow(static_cast<double>(values[i]) - static_cast<double>(x[i]), 2);
  return error;
}

/// Codes to nearest under the integers that are there.
void choose_codes(const GgufLayout& layout, GgufBlock& block, const float* x) {
  const double d = of_half(block.d), dmin = of_half(block.dmin);
  for (int s = 0; s < layout.n_subs(); ++s) codes_of(layout, x + s * layout.sub_size, d * block.scale[s], dmin * block.min[s], block.q + s * layout.sub_size);
}

/// Step 3: d and dmin from scales, mins and codes.
void refit(const GgufLayout& layout, GgufBlock& block, const float* x, const double* w) {
  double uu = 0, uv = 0, vv = 0, ux = 0, vx = 0;
  for (int i = 0; i < layout.n_weights; ++i) {
    const int s = i / layout.sub_size;
    const double u = block.scale[s] * block.q[i], v = -block.min[s];
    uu += w[i] * u * u;
    uv += w[i] * u * v;
    vv += w[i] * v * v;
    ux += w[i] * u * static_cast<double>(x[i]);
    vx += w[i] * v * static_cast<double>(x[i]);
  }
  const double determinant = uu * vv - uv * uv;
  if (layout.has_min() && determinant > 1e-12 * uu * vv) {
    block.d = half((vv * ux - uv * vx) / determinant);
    block.dmin = half(std::max(0.0, (uu * vx - uv * ux) / determinant));
  } else if (uu > 0) {
    block.d = half((ux - uv * of_half(block.dmin)) / uu);
  }
}

GgufBlock search_block(const GgufLayout& layout, const float* x, const double* w) {
  Fit fits[16];
  double largest_a = 0, signed_a = 0, largest_m = 0;
  for (int s = 0; s < layout.n_subs(); ++s) {
    fits[s] = search_sub_block(layout, x + s * layout.sub_size, w + s * layout.sub_size);
    if (std::fabs(fits[s].a) > largest_a) {
      largest_a = std::fabs(fits[s].a);
      signed_a = fits[s].a;
    }
    largest_m = std::max(largest_m, fits[s].m);
  }
  GgufBlock best;
  for (int s = 0; s < layout.n_subs(); ++s) best.scale[s] = layout.scale_min == layout.scale_max ? 1 : 0;
  double least = error_of(layout, best, x, w);
  for (int step = 0; step < n_steps && largest_a > 0; ++step) {
    const double stretch = 0.86 + 0.02 * step;
    GgufBlock block;
    // The side with one integer more holds the largest.
    const double last = layout.scale_min < 0 ? static_cast<double>(layout.scale_min) : static_cast<double>(layout.scale_max);
    block.d = half(signed_a / last * stretch);
    block.dmin = half(layout.has_min() ? largest_m / layout.min_max * stretch : 0);
    const double d = of_half(block.d), dmin = of_half(block.dmin);
    for (int s = 0; s < layout.n_subs(); ++s) {
      block.scale[s] = d == 0 ? std::clamp(0, layout.scale_min, layout.scale_max) : std::clamp(nearest(fits[s].a / d), layout.scale_min, layout.scale_max);
      block.min[s] = dmin == 0 ? 0 : std::clamp(nearest(fits[s].m / dmin), 0, layout.min_max);
    }
    choose_codes(layout, block, x);
    for (int pass = 0; pass < 2; ++pass) {
      const double error = error_of(layout, block, x, w);
      if (error < least) {
        least = error;
        best = block;
      }
      if (pass == 1) break;
      refit(layout, block, x, w);
      choose_codes(layout, block, x);
    }
  }
  return best;
}

/// No weight above it has a d that float16 holds.
double largest_of(const GgufLayout& layout) {
  return 65504.0 * std::max(-layout.scale_min, layout.scale_max) * std::max(-layout.q_min, layout.q_max);
}

GgufBlock plain_block(const GgufLayout& layout, const float* x) {
  GgufBlock block;
  float largest = 0;
  for (int i = 0; i < layout.n_weights; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0f, inverse = d == 0 ? 0.0f : 1.0f / d;
  block.d = float_to_f16(d);
  block.scale[0] = 1;
  for (int i = 0; i < layout.n_weights; ++i) block.q[i] = static_cast<int>(std::lround(x[i] * inverse));
  return block;
}

const GgufLayout* layout_from(const Options& options, GgufType& type, Status& status) {
  const GgufLayout* layout = gguf_layout(options.text("gguf_type"), type);
  if (layout == nullptr) status = Status::error("gguf_type " + options.text("gguf_type") + " is none of Q8_0, Q4_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K");
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
                  for (int i = 0; i < layout.n_weights; ++i) w[i] = mean_importance > 0 ? static_cast<double>(in[1].as<float>()[first + i]) / mean_importance + 0.02 : 1;
                  const GgufBlock block = type == GgufType::Q8_0 ? plain_block(layout, x) : search_block(layout, x, w);
                  if (largest > largest_of(layout) || !std::isfinite(f16_to_float(block.d)) || !std::isfinite(f16_to_float(block.dmin))) large = row;
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
