// One cell of HQQ: the scale that makes Σ |x̂ - x|^p small, by half-quadratic splitting. Both backends compile this, and a cell is one thread's.
//
//   repeat `iters` times   q = round(clamp(x / s + z));  d = x / s - (q - z);  e = shrink(d) · s;  s = Σ (q - z)(x - e) / Σ (q - z)²;  beta ← kappa · beta
//   shrink                 sign(d) · max(|d| - |d|^(p - 1) / beta, 0), the proximal step of |·|^p; d is in steps of the grid, so that beta has no unit
//   at last                of the first scale and those of all steps, rounded to the dtype, the one with the least Σ |x̂ - x|^p as a reader computes x̂
//
// The authors hold s and move z, as a float. Checkpoints of compressed-tensors hold whole zero points, and a whole step of z moves nothing but the ends of the grid:
// every code moves along with it. So here z is held and the same least squares are solved for s. A cell never ends worse than it began.
#pragma once
#include "quantizers/grid.h"

namespace bitwright {

struct HqqSettings {
  double lp_norm, beta, kappa;
  int64_t iters;
};

struct HqqCell {
  float scale;
  double before, after;
};

template <class T, class Load>
BITWRIGHT_PORTABLE inline double hqq_error(const Load& load, int64_t n, float scale, float z, const Grid& grid, double p) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = load(i), q = code_of<T>(x, scale, z, grid.qmin(), grid.qmax());
    const double difference = std::fabs(static_cast<double>(rounded_to<T>(rounded_to<T>(q - z) * scale)) - x);
    sum += difference == 0 ? 0.0 : std::pow(difference, p);
  }
  return sum;
}

/// `load(i)` gives the weights of the cell.
template <class T, class Load>
BITWRIGHT_PORTABLE inline HqqCell hqq_cell(const Load& load, int64_t n, float start, int8_t zero_point, const Grid& grid, const HqqSettings& settings) {
  const double low = grid.qmin(), high = grid.qmax(), z = zero_point;
  double s = start, beta = settings.beta;
  const double before = hqq_error<T>(load, n, start, zero_point, grid, settings.lp_norm);
  HqqCell best{start, before, before};
  for (int64_t step = 0; step < settings.iters; ++step) {
    double product = 0, squares = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double x = load(i), code = x / s + z, q = round_half_even(static_cast<float>(code < low ? low : code > high ? high : code)), level = q - z;
      const double d = x / s - level, size = std::fabs(d), shrunken = size == 0 ? 0.0 : size - std::pow(size, settings.lp_norm - 1) / beta;
      const double kept = shrunken > 0 ? (d < 0 ? -shrunken : shrunken) * s : 0.0;
      product += level * (x - kept);
      squares += level * level;
    }
    if (!(product > 0 && squares > 0)) break;
    s = product / squares;
    beta *= settings.kappa;
    const float rounded = rounded_to<T>(static_cast<float>(s));
    if (!(rounded > 0 && std::isfinite(rounded))) break;
    const double error = hqq_error<T>(load, n, rounded, zero_point, grid, settings.lp_norm);
    if (error < best.after) best = {rounded, before, error};
  }
  return best;
}

inline Status hqq_settings(const Options& options, HqqSettings& settings) {
  settings = {options.number("lp_norm", 0.7), options.number("beta", 10), options.number("kappa", 1.01), options.integer("iters", 20)};
  if (!(settings.lp_norm > 0 && settings.lp_norm <= 1)) return Status::error("lp_norm " + std::to_string(settings.lp_norm) + " is not above 0 and at most 1");
  if (!(settings.beta > 0 && std::isfinite(settings.beta) && settings.kappa >= 1 && settings.kappa <= 10)) return Status::error("beta " + std::to_string(settings.beta) + " must be positive, and kappa " + std::to_string(settings.kappa) + " between 1 and 10");
  if (settings.iters < 0 || settings.iters > 1000) return Status::error("iters " + std::to_string(settings.iters) + " is not between 0 and 1000");
  return Status::fine();
}

}  // namespace bitwright
