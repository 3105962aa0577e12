// The arithmetic of logit-divergence.cc that both backends share: a term that loses no digits, what the sums make, and which of two logits is chosen.
#pragma once
#include <cmath>

#include "core/portable.h"

namespace bitwright {

/// d + e^(-d) - 1 ≥ 0, of small d by its series, since the parts cancel.
BITWRIGHT_PORTABLE inline float curved(float d, float e) {
  const float series = d * d * (0.5f - d * (1.0f / 6.0f - d * (1.0f / 24.0f - d * (1.0f / 120.0f - d * (1.0f / 720.0f - d * (1.0f / 5040.0f))))));
  return d > -0.5f && d < 0.5f ? series : d + (e - 1.0f);
}

struct Weighed {
  /// With w = e^(p - peak) and d = (p - q) - offset: Σ w, Σ w d, Σ w e^(-d), Σ w (d + e^(-d) - 1).
  double total, difference, other, curved;
};

/// With offset = log Σ e^p - log Σ e^q, Σ P e^(-d) is Σ Q = 1, so that KL = Σ P d = Σ P (d + e^(-d) - 1): the second has no part that cancels, and what the
/// offset errs by enters it squared. Where Q has mass at logits that P's exponentials lose, its sum shows it, and the first is taken.
BITWRIGHT_PORTABLE inline double divergence(const Weighed& sums) {
  const bool is_whole = fabs(sums.other / sums.total - 1) < 1e-5;
  return (is_whole ? sums.curved : sums.difference) / sums.total;
}

/// A NaN is larger than all, so that it is seen.
BITWRIGHT_PORTABLE inline bool is_larger(float logit, float known) { return logit > known || (logit != logit && known == known); }

}  // namespace bitwright
