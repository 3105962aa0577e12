// Memory of a CUDA device: blocks that were given back are kept for the next tensors. One stream uses them all in its order, so a block can go
// to the next user as soon as the call that used it last was made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace bitwright::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory();
  /// nullptr when the device has no more, even after what is kept was given back to it.
  void* take(int64_t bytes);
  /// From any thread; makes no call to the device.
  void give(void* block, int64_t bytes);

 private:
  void release_all();
  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
};

}  // namespace bitwright::cuda
