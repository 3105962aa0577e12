// Memory of released tensors, kept for the next ones: fresh pages come from the system zeroed and one by one, which costs a small model more than its arithmetic.
#pragma once
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

  /// At least `bytes` bytes on a border of 64, with whatever was in them; nullptr when the system has no more.
  void* take(size_t bytes);
  /// `bytes` as it was taken with.
  void give(void* block, size_t bytes);

 private:
  struct Block {
    void* data;
    size_t bytes;
  };
  std::mutex mutex_;
  /// Oldest first.
  std::vector<Block> free_;
  size_t free_bytes_ = 0;
};

}  // namespace bitwright
