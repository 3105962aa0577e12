// The search for the numbers of a GGUF block, step by step, so that the processor takes the steps one after the other and a CUDA device side by side: legend in
// k-quants.cc. Sums are double and in the order of the weights; of equal errors the earlier step wins. So the bytes are the same on every device.
//
// x, w: weights of a block and what they weigh, sub-block s at s · stride.
#pragma once
#include <cmath>

#include "formats/gguf-blocks.h"

namespace bitwright {

inline constexpr int gguf_stretches = 24, gguf_steps = 15;

/// Half away from zero.
BITWRIGHT_PORTABLE inline int gguf_nearest(double value) { return static_cast<int>(lround(value > -1e6 ? (value < 1e6 ? value : 1e6) : -1e6)); }
BITWRIGHT_PORTABLE inline int gguf_clamped(int value, int low, int high) { return value < low ? low : value > high ? high : value; }
BITWRIGHT_PORTABLE inline uint16_t gguf_to_half(double value) { return float_to_f16(static_cast<float>(value)); }
BITWRIGHT_PORTABLE inline double gguf_of_half(uint16_t value) { return static_cast<double>(f16_to_float(value)); }

/// Code of x under a and m; inverse: 1 / a, or 0.
BITWRIGHT_PORTABLE inline int gguf_code_of(const GgufLayout& layout, float x, double inverse, double m) {
  return gguf_clamped(gguf_nearest((static_cast<double>(x) + m) * inverse), layout.q_min, layout.q_max);
}

struct GgufFit {
  double a = 0, m = 0, error = 0;
};

/// Nothing is kept of the sub-block: what every fit is compared with.
BITWRIGHT_PORTABLE inline GgufFit gguf_no_fit(const GgufLayout& layout, const float* x, const double* w) {
  GgufFit fit;
  for (int i = 0; i < layout.sub_size; ++i) fit.error += w[i] * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return fit;
}

struct GgufRange {
  float low = 0, high = 0;
};
BITWRIGHT_PORTABLE inline GgufRange gguf_range(const GgufLayout& layout, const float* x) {
  GgufRange range;
  for (int i = 0; i < layout.sub_size; ++i) {
    range.low = x[i] < range.low ? x[i] : range.low;
    range.high = x[i] > range.high ? x[i] : range.high;
  }
  return range;
}

/// Codes without a min reach one farther below zero: either end of the weights may lie there, so there are two tries for each stretch.
BITWRIGHT_PORTABLE inline int gguf_tries(const GgufLayout& layout, const GgufRange& range) { return range.low == range.high ? 0 : layout.has_min() ? gguf_stretches : 2 * gguf_stretches; }

/// Step 1, one try: codes of a stretched range, then a and m ≥ 0 (0 where there is none) by least squares.
BITWRIGHT_PORTABLE inline GgufFit gguf_fit(const GgufLayout& layout, const float* x, const double* w, const GgufRange& range, int nth) {
  const bool has_min = layout.has_min();
  const double stretch = 0.7 + 0.025 * (has_min ? nth : nth / 2), sign = !has_min && nth % 2 == 1 ? -1.0 : 1.0;
  const float largest = range.high > -range.low ? range.high : -range.low;
  const double start = has_min ? static_cast<double>(range.high - range.low) / layout.q_max * stretch : sign * stretch * (static_cast<double>(largest) / -layout.q_min);
  const double inverse = start == 0 ? 0 : 1 / start, offset = has_min ? -static_cast<double>(range.low) : 0;
  double sum_w = 0, sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0, sum_xx = 0;
  for (int i = 0; i < layout.sub_size; ++i) {
    const double value = static_cast<double>(x[i]);
    const int q = gguf_code_of(layout, x[i], inverse, offset);
    sum_w += w[i];
    sum_q += w[i] * q;
    sum_qq += w[i] * q * q;
    sum_x += w[i] * value;
    sum_qx += w[i] * q * value;
    sum_xx += w[i] * value * value;
  }
  GgufFit fit;
  const double determinant = sum_w * sum_qq - sum_q * sum_q;
  const bool is_regular = determinant > 1e-12 * sum_w * sum_qq;
  if (has_min && is_regular) {
    fit.a = (sum_w * sum_qx - sum_q * sum_x) / determinant;
    fit.m = (sum_q * sum_qx - sum_qq * sum_x) / determinant;
  }
  if (!has_min || fit.m < 0 || fit.a < 0 || !is_regular) {
    fit.m = 0;
    fit.a = sum_qq > 0 ? sum_qx / sum_qq : 0;
  }
  // Beside a min scales are not below zero; without one the sign is that of d.
  if (has_min && fit.a < 0) fit.a = 0;
  // All codes are zero, and the min alone says what the weights are.
  if (has_min && sum_qq == 0) fit.m = sum_x < 0 ? -sum_x / sum_w : 0.0;
  fit.error = sum_xx + fit.a * fit.a * sum_qq + fit.m * fit.m * sum_w - 2 * fit.a * sum_qx + 2 * fit.m * sum_x - 2 * fit.a * fit.m * sum_q;
  return fit;
}

/// What d and dmin of a super-block begin from: the a farthest from zero, with its sign, and the largest m.
struct GgufLargest {
  double a = 0, m = 0;
};
BITWRIGHT_PORTABLE inline GgufLargest gguf_largest(const GgufLayout& layout, const GgufFit* fits) {
  GgufLargest largest;
  for (int s = 0; s < layout.n_subs(); ++s) {
    if (fabs(fits[s].a) > fabs(largest.a)) largest.a = fits[s].a;
    if (fits[s].m > largest.m) largest.m = fits[s].m;
  }
  return largest;
}

/// Integers of the sub-blocks follow from the first d and dmin, codes from the last. All zero: the block of zeros.
struct GgufTrial {
  uint16_t first_d = 0, first_dmin = 0, d = 0, dmin = 0;
  double error = 0;
};
BITWRIGHT_PORTABLE inline int gguf_scale_under(const GgufLayout& layout, double d, double a) { return gguf_clamped(d == 0 ? 0 : gguf_nearest(a / d), layout.scale_min, layout.scale_max); }
BITWRIGHT_PORTABLE inline int gguf_min_under(const GgufLayout& layout, double dmin, double m) { return dmin == 0 ? 0 : gguf_clamped(gguf_nearest(m / dmin), 0, layout.min_max); }

/// The error of the block of zeros.
BITWRIGHT_PORTABLE inline GgufTrial gguf_zero_trial(const GgufLayout& layout, const float* x, const double* w, int stride) {
  GgufTrial trial;
  for (int s = 0; s < layout.n_subs(); ++s)
    for (int i = s * stride; i < s * stride + layout.sub_size; ++i) trial.error += w[i] * (static_cast<double>(x[i]) * static_cast<double>(x[i]));
  return trial;
}

/// Steps 2 and 3, one try: the better of what a stretched start gives and of what least squares make of its codes.
BITWRIGHT_PORTABLE inline GgufTrial gguf_trial(const GgufLayout& layout, const GgufFit* fits, const GgufLargest& largest, const float* x, const double* w, int stride, int step) {
  const double stretch = 0.86 + 0.02 * step;
  // The side with one integer more holds the largest.
  const double last = layout.scale_min < 0 ? static_cast<double>(layout.scale_min) : static_cast<double>(layout.scale_max);
  GgufTrial trials[2];
  trials[0].first_d = trials[0].d = gguf_to_half(largest.a / last * stretch);
  trials[0].first_dmin = trials[0].dmin = gguf_to_half(layout.has_min() ? largest.m / layout.min_max * stretch : 0);
  trials[1] = trials[0];
  const double first_d = gguf_of_half(trials[0].d), first_dmin = gguf_of_half(trials[0].dmin);
  double uu = 0, uv = 0, vv = 0, ux = 0, vx = 0;
  for (int pass = 0; pass < 2; ++pass) {
    GgufTrial& trial = trials[pass];
    const float d = f16_to_float(trial.d), dmin = f16_to_float(trial.dmin);
    for (int s = 0; s < layout.n_subs(); ++s) {
      const int scale = gguf_scale_under(layout, first_d, fits[s].a), min = gguf_min_under(layout, first_dmin, fits[s].m);
      const double a = static_cast<double>(d) * scale, m = static_cast<double>(dmin) * min, inverse = a == 0 ? 0 : 1 / a;
      for (int i = s * stride; i < s * stride + layout.sub_size; ++i) {
        const int q = gguf_code_of(layout, x[i], inverse, m);
        const double off = static_cast<double>(gguf_value(layout, d, dmin, scale, min, q)) - static_cast<double>(x[i]);
        trial.error += w[i] * (off * off);
        if (pass == 1) continue;
        const double u = scale * q, v = -min;
        uu += w[i] * u * u;
        uv += w[i] * u * v;
        vv += w[i] * v * v;
        ux += w[i] * u * static_cast<double>(x[i]);
        vx += w[i] * v * static_cast<double>(x[i]);
      }
    }
    if (pass == 1) break;
    const double determinant = uu * vv - uv * uv;
    if (layout.has_min() && determinant > 1e-12 * uu * vv) {
      const double refitted = (uu * vx - uv * ux) / determinant;
      trials[1].d = gguf_to_half((vv * ux - uv * vx) / determinant);
      trials[1].dmin = gguf_to_half(refitted > 0 ? refitted : 0.0);
    } else if (uu > 0) {
      trials[1].d = gguf_to_half((ux - uv * gguf_of_half(trials[1].dmin)) / uu);
    }
  }
  return trials[1].error < trials[0].error ? trials[1] : trials[0];
}

/// Q8_0 has the bytes of the format's own writer: d, and codes to nearest under its inverse.
BITWRIGHT_PORTABLE inline float gguf_plain_scale(float largest) { return largest / 127.0f; }
/// A d whose inverse float does not hold is 0 in float16, and so are the codes: what a conversion makes of an infinity differs between processors.
BITWRIGHT_PORTABLE inline int gguf_plain_code(float x, float d) {
  const float inverse = 1.0f / d;
  return std::isinf(inverse) ? 0 : static_cast<int>(lround(static_cast<double>(x * inverse)));
}

/// No weight above it has a d that float16 holds.
BITWRIGHT_PORTABLE inline double gguf_largest_weight(const GgufLayout& layout) {
  const int scale = -layout.scale_min > layout.scale_max ? -layout.scale_min : layout.scale_max, q = -layout.q_min > layout.q_max ? -layout.q_min : layout.q_max;
  return 65504.0 * scale * q;
}

/// What weighs a weight: its column's importance over the mean of the block's, and a fiftieth more.
BITWRIGHT_PORTABLE inline double gguf_weight(double importance, double mean) { return mean > 0 ? importance / mean + 0.02 : 1.0; }

}  // namespace bitwright
