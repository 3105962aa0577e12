// Memory of released tensors, kept for the next ones: fresh pages come from the system zeroed and one by one, which costs a small model more than its arithmetic.
#pragma once
#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

namespace bitwright {

class BlockCache {
 public:
  BlockCache() = default;
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;
  ~BlockCache();

  /// At least `bytes` bytes on a border of 64, with whatever was in them; nullptr when the system has no more, or the limit leaves none.
  void* take(size_t bytes);
  /// `bytes` as it was taken with.
  void give(void* block, size_t bytes);
  /// A hard cap on the bytes that are taken or kept at a time; 0: none.
  void limit(size_t bytes) { limit_ = bytes; }
  size_t limit() const { return limit_; }
  /// What the limit leaves for takers.
  size_t left() const;

 private:
  void release_kept();
  struct Block {
    void* data;
    size_t bytes;
  };
  mutable std::mutex mutex_;
  std::atomic<size_t> limit_{0};
  /// Taken from the system: in use or kept.
  size_t held_bytes_ = 0;
  /// Oldest first.
  std::vector<Block> free_;
  size_t free_bytes_ = 0;
};

}  // namespace bitwright
