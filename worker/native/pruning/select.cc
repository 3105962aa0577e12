// The k smallest of many scores by counting their bits, half a word at a time: see select.h.
#include "pruning/select.h"

#include <algorithm>
#include <vector>

namespace bitwright {
namespace {

constexpr int64_t n_bins = 1 << 16;
/// At most so many stretches, however many threads there are: each has counts of its own.
constexpr int64_t most_stretches = 16, least_stretch = 1 << 16;

/// The bin in which the k-th (from 0) lies, and how many are in those before it.
struct Place {
  uint32_t bin;
  int64_t before;
};
Place place_of(const std::vector<int64_t>& counts, int64_t k) {
  int64_t before = 0;
  uint32_t bin = 0;
  while (before + counts[bin] <= k) before += counts[bin++];
  return {bin, before};
}

}  // namespace

void select_smallest(Pool& pool, int64_t n, const float* scores, int64_t k, uint8_t* mask) {
  if (k <= 0 || k >= n) {
    std::fill_n(mask, n, static_cast<uint8_t>(k > 0));
    return;
  }
  const int64_t n_stretches = std::clamp<int64_t>(n / least_stretch, 1, most_stretches), length = (n + n_stretches - 1) / n_stretches;
  auto stretch = [&](int64_t s, auto&& see) {
    for (int64_t i = s * length, end = std::min(n, i + length); i < end; ++i) see(i, key_of(scores[i]));
  };
  std::vector<std::vector<int64_t>> parts(static_cast<size_t>(n_stretches));
  auto count = [&](auto&& bin_of) {
    pool.parallel_for(n_stretches, [&](int64_t s) {
      auto& own = parts[static_cast<size_t>(s)];
      own.assign(n_bins, 0);
      stretch(s, [&](int64_t, uint32_t key) {
        if (const int64_t bin = bin_of(key); bin >= 0) ++own[static_cast<size_t>(bin)];
      });
    });
    std::vector<int64_t> sums(n_bins);
    for (const auto& part : parts)
      for (int64_t b = 0; b < n_bins; ++b) sums[static_cast<size_t>(b)] += part[static_cast<size_t>(b)];
    return sums;
  };
  const Place high = place_of(count([](uint32_t key) { return static_cast<int64_t>(key >> 16); }), k - 1);
  const Place low = place_of(count([&](uint32_t key) { return key >> 16 == high.bin ? static_cast<int64_t>(key & 0xffffu) : -1; }), k - 1 - high.before);
  const uint32_t last = high.bin << 16 | low.bin;
  // Those equal to the last one that goes: the first of them, counted over the stretches in their order.
  std::vector<int64_t> room(static_cast<size_t>(n_stretches));
  int64_t left = k - high.before - low.before;
  for (int64_t s = 0; s < n_stretches; ++s) {
    room[static_cast<size_t>(s)] = left;
    left = std::max<int64_t>(0, left - parts[static_cast<size_t>(s)][low.bin]);
  }
  pool.parallel_for(n_stretches, [&](int64_t s) {
    int64_t own = room[static_cast<size_t>(s)];
    stretch(s, [&](int64_t i, uint32_t key) { mask[i] = key < last || (key == last && own-- > 0); });
  });
}

void select_smallest_here(int64_t n, const float* scores, int64_t k, uint8_t* mask) {
  if (k <= 0 || k >= n) {
    std::fill_n(mask, n, static_cast<uint8_t>(k > 0));
    return;
  }
  std::vector<uint32_t> keys(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) keys[static_cast<size_t>(i)] = key_of(scores[i]);
  std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end());
  const uint32_t last = keys[static_cast<size_t>(k - 1)];
  int64_t left = k;
  for (int64_t i = 0; i < n; ++i) left -= key_of(scores[i]) < last;
  for (int64_t i = 0; i < n; ++i) mask[i] = key_of(scores[i]) < last || (key_of(scores[i]) == last && left-- > 0);
}

}  // namespace bitwright
