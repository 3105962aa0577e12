// Memory of a CUDA device, and pinned memory of the host beside it: blocks that were given back are kept for the next ones. One stream uses them
// all in its order, so a block can go to the next user as soon as the call that used it last was made; a second stream has to ask for `last_use`.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace bitwright::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory();
  /// nullptr when the device has no more or the limit leaves none, even after what is kept was given back to it.
  void* take(int64_t bytes);
  /// From any thread; makes no call to the device.
  void give(void* block, int64_t bytes);
  /// A hard cap on the bytes that are in use or kept at a time; 0: none.
  void limit(int64_t bytes) { limit_ = bytes; }
  /// Bytes in use at their most since it was last to begin anew.
  int64_t peak(bool begins_anew);
  /// What `take` could still get of a device with that many free bytes.
  int64_t left(int64_t free_on_device) const;

  /// Counts the calls that were made on the stream.
  void count_call() { ++n_calls_; }
  uint64_t n_calls() const { return n_calls_; }
  /// The call after which nothing on the stream used the block before it was taken; 0: none did.
  uint64_t last_use(const void* block) const;

 private:
  struct Kept {
    void* block;
    uint64_t last_use;
  };
  void release_all();
  void count_peak() { peak_bytes_ = std::max(peak_bytes_, held_bytes_ - kept_bytes_); }
  bool fits(size_t bytes) const { return limit_ == 0 || held_bytes_ + static_cast<int64_t>(bytes) <= limit_; }
  mutable std::mutex mutex_;
  std::atomic<int64_t> limit_{0};
  std::atomic<uint64_t> n_calls_{0};
  /// In use or kept, and kept.
  int64_t held_bytes_ = 0, kept_bytes_ = 0, peak_bytes_ = 0;
  std::map<size_t, std::vector<Kept>> free_;
  std::unordered_map<const void*, uint64_t> last_uses_;
};

/// Pinned memory of the host, which the device copies to and from by itself.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory();
  /// nullptr when the host pins no more.
  void* take(int64_t bytes);
  /// From any thread; makes no call to the device.
  void give(void* block, int64_t bytes);

 private:
  void release_all();
  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
};

}  // namespace bitwright::cuda
