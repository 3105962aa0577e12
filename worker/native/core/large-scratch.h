// Large scratch memory of an operation, on pages of 2 MiB where the system gives them: a step that goes down the columns of a transposed weight is on another small page
// at every column, and the first touch of 4 KiB each costs more than a solver's arithmetic on them.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace bitwright {

struct FreeScratch {
  void operator()(float* data) const { std::free(data); }
};
using LargeScratch = std::unique_ptr<float[], FreeScratch>;

/// Not cleared.
inline LargeScratch large_scratch(int64_t count) {
  constexpr size_t page = size_t{2} << 20;
  const size_t bytes = static_cast<size_t>(count) * sizeof(float), alignment = bytes < 2 * page ? 64 : page, size = (bytes + alignment - 1) / alignment * alignment;
  void* const data = std::aligned_alloc(alignment, size == 0 ? alignment : size);
  if (data == nullptr) throw std::bad_alloc();
  // A wish: where it is not granted the pages are small ones.
  if (alignment == page) (void)madvise(data, size, MADV_HUGEPAGE);
  return LargeScratch(static_cast<float*>(data));
}

}  // namespace bitwright
