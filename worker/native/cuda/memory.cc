// Memory of a CUDA device: see memory.h.
#include "cuda/memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>

namespace bitwright::cuda {
namespace {

/// Rounded up to an eighth of its power of two, so that batches of about the same length share blocks.
size_t size_class(int64_t bytes) {
  const size_t wanted = static_cast<size_t>(std::max<int64_t>(bytes, 512));
  const size_t step = std::max<size_t>(512, std::bit_floor(wanted) / 8);
  return (wanted + step - 1) / step * step;
}

}  // namespace

DeviceMemory::~DeviceMemory() { release_all(); }

void DeviceMemory::release_all() {
  for (const auto& [size, blocks] : free_)
    for (void* block : blocks) cudaFree(block);
  free_.clear();
}

void* DeviceMemory::take(int64_t bytes) {
  const size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  if (const auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
    void* block = found->second.back();
    found->second.pop_back();
    return block;
  }
  void* fresh = nullptr;
  if (cudaMalloc(&fresh, size) == cudaSuccess) return fresh;
  // The failure is answered here, not to the next call; and what is kept may be what is missing. cudaFree waits for the work that uses it.
  cudaGetLastError();
  release_all();
  if (cudaMalloc(&fresh, size) == cudaSuccess) return fresh;
  cudaGetLastError();
  return nullptr;
}

void DeviceMemory::give(void* block, int64_t bytes) {
  if (block == nullptr) return;
  std::lock_guard lock(mutex_);
  free_[size_class(bytes)].push_back(block);
}

}  // namespace bitwright::cuda
