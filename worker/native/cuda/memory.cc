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
    for (const Kept& kept : blocks) {
      cudaFree(kept.block);
      last_uses_.erase(kept.block);
    }
  free_.clear();
  held_bytes_ -= kept_bytes_;
  kept_bytes_ = 0;
}

void* DeviceMemory::take(int64_t bytes) {
  const size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  if (const auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
    const Kept kept = found->second.back();
    found->second.pop_back();
    kept_bytes_ -= static_cast<int64_t>(size);
    last_uses_[kept.block] = kept.last_use;
    count_peak();
    return kept.block;
  }
  void* fresh = nullptr;
  // The failure is answered here, not to the next call; and what is kept may be what is missing. cudaFree waits for the work that uses it.
  for (int attempt = 0; attempt < 2 && fresh == nullptr; ++attempt) {
    if (attempt == 1) release_all();
    if (fits(size) && cudaMalloc(&fresh, size) != cudaSuccess) {
      fresh = nullptr;
      cudaGetLastError();
    }
  }
  if (fresh != nullptr) held_bytes_ += static_cast<int64_t>(size);
  count_peak();
  return fresh;
}

void DeviceMemory::give(void* block, int64_t bytes) {
  if (block == nullptr) return;
  const size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  free_[size].push_back({block, n_calls_});
  kept_bytes_ += static_cast<int64_t>(size);
}

int64_t DeviceMemory::peak(bool begins_anew) {
  std::lock_guard lock(mutex_);
  if (begins_anew) peak_bytes_ = held_bytes_ - kept_bytes_;
  return peak_bytes_;
}

int64_t DeviceMemory::left(int64_t free_on_device) const {
  std::lock_guard lock(mutex_);
  const int64_t reachable = free_on_device + kept_bytes_, limit = limit_;
  return limit == 0 ? reachable : std::max<int64_t>(0, std::min(reachable, limit - (held_bytes_ - kept_bytes_)));
}

uint64_t DeviceMemory::last_use(const void* block) const {
  std::lock_guard lock(mutex_);
  const auto found = last_uses_.find(block);
  return found == last_uses_.end() ? 0 : found->second;
}

PinnedMemory::~PinnedMemory() { release_all(); }

void PinnedMemory::release_all() {
  for (const auto& [size, blocks] : free_)
    for (void* block : blocks) cudaFreeHost(block);
  free_.clear();
}

void* PinnedMemory::take(int64_t bytes) {
  const size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  if (const auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
    void* block = found->second.back();
    found->second.pop_back();
    return block;
  }
  void* fresh = nullptr;
  if (cudaMallocHost(&fresh, size) == cudaSuccess) return fresh;
  cudaGetLastError();
  // A copy may still be at work in what is kept.
  cudaDeviceSynchronize();
  release_all();
  if (cudaMallocHost(&fresh, size) == cudaSuccess) return fresh;
  cudaGetLastError();
  return nullptr;
}

void PinnedMemory::give(void* block, int64_t bytes) {
  if (block == nullptr) return;
  std::lock_guard lock(mutex_);
  free_[size_class(bytes)].push_back(block);
}

}  // namespace bitwright::cuda
