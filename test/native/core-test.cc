// The core below the operations: memory that is used again.
#include <cstdint>

#include "core/block-cache.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

const Case cache_cases("released memory is given to the next tensor of about its size, small and foreign sizes are not mixed up", [] {
  bitwright::BlockCache cache;
  void* first = cache.take(1 << 20);
  expect(reinterpret_cast<uintptr_t>(first) % 64 == 0, "64-byte border");
  cache.give(first, 1 << 20);
  void* near = cache.take((1 << 20) - 1000);
  expect(near == first, "a block of the same size class is used again");
  void* large = cache.take(4 << 20);
  expect(large != first, "a block in use is not given out");
  cache.give(near, (1 << 20) - 1000);
  void* twice = cache.take(2 << 20);
  expect(twice != first, "a block of another class is not given out");
  cache.give(large, 4 << 20);
  cache.give(twice, 2 << 20);
  void* none = cache.take(0);
  expect(none != nullptr, "an empty tensor has an address");
  cache.give(none, 0);
  cache.give(nullptr, 5 << 20);
  // More than is kept: the oldest go back to the system, and nothing is lost or freed twice.
  for (int i = 0; i < 20; ++i) cache.give(cache.take(40 << 20), 40 << 20);
}, Where::once);

}  // namespace
