// Which scores are the smallest, with an answer that no order of work can change: of equal scores the first. And what is asked of a layer: a share, or N of every M.
//
// Scores are squares or magnitudes, so they are not negative, and the bits of a float then stand in the order of the numbers: a selection is one of integers.
#pragma once
#include <cstdint>

#include "core/operation.h"
#include "core/portable.h"

namespace bitwright {

/// What is asked: n of every m neighbours where m > 0, else this share of all.
struct Sparsity {
  double share = 0;
  int64_t n = 0, m = 0;
  bool structured() const { return m > 0; }
  /// How many of `count` become zero. A share such as 0.3 of 10 is 3, though 0.3 · 10 in floating point is a little less.
  int64_t of(int64_t count) const {
    const int64_t asked = static_cast<int64_t>(share * static_cast<double>(count) + 1e-9 * static_cast<double>(count));
    return asked < 0 ? 0 : asked > count ? count : asked;
  }
  /// `columns`: of the weight, which groups of m must fill.
  static Status from(const Options& options, int64_t columns, Sparsity& sparsity) {
    sparsity.share = options.number("sparsity");
    sparsity.n = options.integer("mask_n");
    sparsity.m = options.integer("mask_m");
    if (!(sparsity.share >= 0 && sparsity.share <= 1)) return Status::error("sparsity " + std::to_string(sparsity.share) + " is not between 0 and 1");
    if (sparsity.m == 0 && sparsity.n == 0) return Status::fine();
    const std::string structure = std::to_string(sparsity.n) + ":" + std::to_string(sparsity.m);
    if (sparsity.m < 1 || sparsity.n < 0 || sparsity.n > sparsity.m) return Status::error("a mask of " + structure + " is not possible");
    if (columns % sparsity.m != 0) return Status::error("a mask of " + structure + " does not divide " + std::to_string(columns) + " columns");
    return Status::fine();
  }
};

/// Of a score that is no NaN and not negative; -0 counts as 0.
BITWRIGHT_PORTABLE inline uint32_t key_of(float score) { return bits_of(score) & 0x7fffffffu; }

/// True where element i is among the n smallest of m scores.
template <class Score>
BITWRIGHT_PORTABLE inline bool is_among_smallest(const Score& score, int64_t i, int64_t n, int64_t m) {
  const uint32_t own = key_of(score(i));
  int64_t smaller = 0;
  for (int64_t j = 0; j < m; ++j) {
    const uint32_t other = key_of(score(j));
    smaller += other < own || (other == own && j < i);
  }
  return smaller < n;
}

/// mask[i] = 1 for the k smallest of scores[0, n), of equal ones the first; 0 for the rest.
void select_smallest(Pool& pool, int64_t n, const float* scores, int64_t k, uint8_t* mask);
/// The same on the calling thread, for short lists.
void select_smallest_here(int64_t n, const float* scores, int64_t k, uint8_t* mask);

}  // namespace bitwright
