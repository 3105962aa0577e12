// The core below the operations: memory that is used again.
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/block-cache.h"
#include "core/pool.h"
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

const Case limit_cases("a limit counts what is kept, lets it go for what is wanted, and answers nullptr beyond", [] {
  bitwright::BlockCache cache;
  cache.limit(3 << 20);
  void* first = cache.take(2 << 20);
  expect(first != nullptr && cache.left() == 1 << 20, std::to_string(cache.left()) + " bytes left");
  expect(cache.take(2 << 20) == nullptr, "beyond the limit");
  cache.give(first, 2 << 20);
  expect(cache.left() == 3 << 20, "what is kept can be taken");
  void* other = cache.take(3 << 20);
  expect(other != nullptr && cache.left() == 0 && cache.take(64) == nullptr, "what was kept made room, and nothing is left");
  cache.give(other, 3 << 20);
  void* small = cache.take(64);
  expect(small != nullptr && cache.left() == (3 << 20) - 64, "small blocks count");
  cache.give(small, 64);
  cache.limit(0);
  void* large = cache.take(8 << 20);
  expect(large != nullptr, "without a limit");
  cache.give(large, 8 << 20);
}, Where::once);

const Case device_limit_cases("a device beyond its limit fails as one without memory, says the limit, and works on with what fits", [] {
  const std::string told = beyond_limit();
  const size_t free = told.find(" free beside ");
  expect(told.find("out of memory: 16777216 bytes for F32[4194304], ") == 0 && free != std::string::npos && told.find(" in tensors of ", free) != std::string::npos && told.find(" that the limit allows") != std::string::npos, told);
});

const Case fill_cases("large fills, which a device may do beside its work, are there when they are used, and after the work that used their memory before", [] {
  // The memory of one call is that of the next: every fill comes where the call before has read.
  for (uint32_t round = 0; round < 4; ++round) {
    const Array a = normal(DType::F32, {600, 1024}, 70 + round), b = normal(DType::F32, {600, 1024}, 80 + round);
    const Array sum = run_everywhere("add", {a, b}, {})[0];
    for (int64_t i = 0; i < a.spec.count(); ++i) expect(sum.as<float>()[i] == a.as<float>()[i] + b.as<float>()[i], "round " + std::to_string(round) + ", element " + std::to_string(i));
  }
});

const Case parked_cases("a tensor comes back from host memory as it went, on a device that has such memory", [] {
  for (const int64_t rows : {int64_t{1}, int64_t{65}, int64_t{3000}}) {
    const Array array = normal(DType::F32, {rows, 256}, 90);
    Array back;
    const std::string told = parked(array, back);
    if (told.find("out of host memory: ") == 0) throw Skipped{"the memory of this device is the host's"};
    expect(told.empty() && back.bytes == array.bytes, std::to_string(rows) + " rows: " + told);
  }
});

std::string refusal_of(int n_threads) {
  try {
    bitwright::Pool pool(n_threads);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

const Case option_cases("an option that is no integer of 64 bits reads as the least of them on every kind of processor, one with a fraction without it", [] {
  for (const auto& [value, integer] : {std::pair{double{NAN}, int64_t{INT64_MIN}}, {INFINITY, INT64_MIN}, {1e300, INT64_MIN}, {0x1p63, INT64_MIN}, {-1e300, INT64_MIN}, {-2.75, int64_t{-2}}, {0x1p62, int64_t{1} << 62}})
    expect(options({{"n", double{value}}}).integer("n") == integer, std::to_string(value) + " reads as " + std::to_string(options({{"n", double{value}}}).integer("n")));
}, Where::once);

const Case pool_cases("a pool of more threads than BLAS has buffers for is refused with a sentence, and the most that are taken work", [] {
  expect(refusal_of(bitwright::most_threads + 1).find("more than 512") != std::string::npos, "one too many is refused: " + refusal_of(bitwright::most_threads + 1));
  expect(refusal_of(100000).find("more than 512") != std::string::npos, "100000 are refused");
  bitwright::Pool pool(bitwright::most_threads);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(5000, [&](int64_t tile) { sum += tile; });
  expect(sum == 4999 * 2500, "every tile is computed once");
});

}  // namespace
