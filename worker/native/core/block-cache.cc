// Memory of released tensors: see block-cache.h.
#include "core/block-cache.h"

#include <bit>
#include <cstdlib>

namespace bitwright {
namespace {

/// Smaller blocks come from malloc's own lists.
constexpr size_t smallest_kept = 64 << 10;
/// Kept in all. Larger tensors work so long on each page that getting it does not matter.
constexpr size_t most_kept = 96 << 20;

/// Rounded up to an eighth of its power of two, so that batches of about the same length share blocks. Pages that are never touched take no memory.
size_t size_class(size_t bytes) {
  const size_t step = bytes < smallest_kept ? 64 : std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

}  // namespace

BlockCache::~BlockCache() {
  for (const Block& block : free_) std::free(block.data);
}

void* BlockCache::take(size_t bytes) {
  const size_t size = size_class(bytes == 0 ? 1 : bytes);
  if (size >= smallest_kept) {
    std::lock_guard lock(mutex_);
    // The last one given back is the one most likely still in the processor's cache.
    for (size_t i = free_.size(); i-- > 0;)
      if (free_[i].bytes == size) {
        void* data = free_[i].data;
        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
        free_bytes_ -= size;
        return data;
      }
  }
  void* fresh = std::aligned_alloc(64, size);
  if (fresh != nullptr) return fresh;
  // What is kept may be what is missing.
  std::lock_guard lock(mutex_);
  for (const Block& block : free_) std::free(block.data);
  free_.clear();
  free_bytes_ = 0;
  return std::aligned_alloc(64, size);
}

void BlockCache::give(void* block, size_t bytes) {
  const size_t size = size_class(bytes == 0 ? 1 : bytes);
  if (block == nullptr || size < smallest_kept || size > most_kept) return std::free(block);
  std::lock_guard lock(mutex_);
  free_.push_back({block, size});
  free_bytes_ += size;
  while (free_bytes_ > most_kept) {
    std::free(free_.front().data);
    free_bytes_ -= free_.front().bytes;
    free_.erase(free_.begin());
  }
}

}  // namespace bitwright
