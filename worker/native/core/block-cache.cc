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

BlockCache::~BlockCache() { release_kept(); }

void BlockCache::release_kept() {
  for (const Block& block : free_) std::free(block.data);
  held_bytes_ -= free_bytes_;
  free_.clear();
  free_bytes_ = 0;
}

size_t BlockCache::left() const {
  std::lock_guard lock(mutex_);
  const size_t used = held_bytes_ - free_bytes_, limit = limit_;
  return limit > used ? limit - used : 0;
}

void* BlockCache::take(size_t bytes) {
  const size_t size = size_class(bytes == 0 ? 1 : bytes);
  std::lock_guard lock(mutex_);
  // The last one given back is the one most likely still in the processor's cache.
  if (size >= smallest_kept)
    for (size_t i = free_.size(); i-- > 0;)
      if (free_[i].bytes == size) {
        void* data = free_[i].data;
        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
        free_bytes_ -= size;
        return data;
      }
  const auto fits = [&] { return limit_ == 0 || held_bytes_ + size <= limit_; };
  if (!fits()) release_kept();
  if (!fits()) return nullptr;
  void* fresh = std::aligned_alloc(64, size);
  if (fresh == nullptr) {
    // What is kept may be what is missing.
    release_kept();
    fresh = std::aligned_alloc(64, size);
  }
  if (fresh != nullptr) held_bytes_ += size;
  return fresh;
}

void BlockCache::give(void* block, size_t bytes) {
  if (block == nullptr) return;
  const size_t size = size_class(bytes == 0 ? 1 : bytes);
  std::lock_guard lock(mutex_);
  if (size < smallest_kept || size > most_kept) {
    std::free(block);
    held_bytes_ -= size;
    return;
  }
  free_.push_back({block, size});
  free_bytes_ += size;
  while (free_bytes_ > most_kept) {
    std::free(free_.front().data);
    free_bytes_ -= free_.front().bytes;
    held_bytes_ -= free_.front().bytes;
    free_.erase(free_.begin());
  }
}

}  // namespace bitwright
