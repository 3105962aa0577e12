// In the place of cuda/memory.cc where kernels are looked at: tensors that end at a page which nobody may touch, so that a kernel that reads or writes behind one ends the program.
// Nothing is kept, so that a use after the end shows; that needs streams that work at the call.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cuda/memory.h"

namespace bitwright::cuda {
namespace {

struct Mapping {
  size_t bytes, offset;
};
Mapping mapping_of(int64_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), used = (static_cast<size_t>(bytes) + 15) / 16 * 16, pages = (used + page - 1) / page * page;
  return {pages + page, pages - used};
}

}  // namespace

DeviceMemory::~DeviceMemory() = default;
void DeviceMemory::release_all() {}
uint64_t DeviceMemory::last_use(const void*) const { return 0; }
int64_t DeviceMemory::left(int64_t free_on_device) const {
  std::lock_guard lock(mutex_);
  return limit_ == 0 ? free_on_device : std::max<int64_t>(0, limit_ - held_bytes_);
}

int64_t DeviceMemory::peak(bool begins_anew) {
  std::lock_guard lock(mutex_);
  if (begins_anew) peak_bytes_ = held_bytes_;
  return peak_bytes_;
}

void* DeviceMemory::take(int64_t bytes) {
  const Mapping mapping = mapping_of(bytes);
  std::lock_guard lock(mutex_);
  if (!fits(static_cast<size_t>(bytes))) return nullptr;
  void* begin = mmap(nullptr, mapping.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  held_bytes_ += bytes;
  count_peak();
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // Fresh memory holds no zeros, so that what is read before it is written shows.
  std::memset(begin, 0xcb, mapping.bytes - page);
  mprotect(static_cast<char*>(begin) + mapping.bytes - page, page, PROT_NONE);
  return static_cast<char*>(begin) + mapping.offset;
}

void DeviceMemory::give(void* block, int64_t bytes) {
  const Mapping mapping = mapping_of(bytes);
  if (block == nullptr) return;
  munmap(static_cast<char*>(block) - mapping.offset, mapping.bytes);
  std::lock_guard lock(mutex_);
  held_bytes_ -= bytes;
}

PinnedMemory::~PinnedMemory() = default;
void PinnedMemory::release_all() {}
void* PinnedMemory::take(int64_t bytes) { return std::malloc(static_cast<size_t>(std::max<int64_t>(1, bytes))); }
void PinnedMemory::give(void* block, int64_t) { std::free(block); }

}  // namespace bitwright::cuda
