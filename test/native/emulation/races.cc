// Which threads of a grid touch the same byte without a barrier between them, one of them writing. The kernels are compiled once more with -fsanitize=thread, and what the compiler calls before each
// access to memory is here, in the place of that sanitizer's own library, which knows threads of the system and none of a grid. Two accesses are in order when one thread makes both, or when threads of
// one block make them with a barrier of the block in between; the exchange of values in a warp orders no memory (CUDA C++ programming guide, "Warp shuffle functions"). Blocks of one launch are in no order.
// Two atomic accesses never race. Unlike compute-sanitizer's racecheck this sees the device's memory too, and not the block's alone.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "races.h"

namespace emulation {
namespace {

/// The last write of a byte and the last read. Blocks and the stretches between two barriers are numbered through all launches, from 1.
struct Access {
  uint32_t block = 0, stretch = 0, thread = 0;
  const void* at = nullptr;
};
struct Byte {
  Access write, read;
  bool is_atomic = false, has_readers = false, has_reading_blocks = false;
};

constexpr size_t page_bytes = 4096, kept_pages = 2048;
struct Page {
  Byte bytes[page_bytes];
};

std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
/// Pages that were found last, each in the place that its number has.
constexpr size_t recent_pages = 256;
std::pair<uintptr_t, Page*> recent[recent_pages];
/// Set on the thread that runs a grid, as long as it does: what the host does in the same sources is its own affair.
thread_local bool is_watching = false;
uint32_t block = 0, stretch = 0, first_block = 1;
uintptr_t shared_begin = 0, shared_end = 0;
std::set<std::pair<const void*, const void*>> told;
std::string found;

/// Where this library keeps what is static, and so the shared memory of kernels here: [first, second).
std::pair<uintptr_t, uintptr_t> own_data_range() {
  std::pair<uintptr_t, uintptr_t> answer{0, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const uintptr_t begin = info->dlpi_addr + segment.p_vaddr, own = reinterpret_cast<uintptr_t>(&pages);
          if (segment.p_type != PT_LOAD || own < begin || own >= begin + segment.p_memsz) continue;
          *static_cast<std::pair<uintptr_t, uintptr_t>*>(data) = {begin, begin + segment.p_memsz};
          return 1;
        }
        return 0;
      },
      &answer);
  return answer;
}
const std::pair<uintptr_t, uintptr_t> own_data = own_data_range();

bool is_shared(uintptr_t address) { return (address >= shared_begin && address < shared_end) || (address >= own_data.first && address < own_data.second); }

Page& page_of(uintptr_t number) {
  auto& place = recent[number % recent_pages];
  if (place.second == nullptr || place.first != number) {
    std::unique_ptr<Page>& page = pages[number];
    if (!page) page = std::make_unique<Page>();
    place = {number, page.get()};
  }
  return *place.second;
}

/// Function, file and line, as far as addr2line is there and the library has them.
std::string place_of(const void* at) {
  Dl_info info;
  if (dladdr(at, &info) == 0) return "an unknown place";
  char command[4096], line[4096];
  std::string text;
  // The call's own line, not that of its return.
  const uintptr_t offset = reinterpret_cast<uintptr_t>(at) - reinterpret_cast<uintptr_t>(info.dli_fbase) - 1;
  std::snprintf(command, sizeof command, "addr2line -Cfpse '%s' %#zx 2>/dev/null", info.dli_fname, static_cast<size_t>(offset));
  if (FILE* pipe = popen(command, "r")) {
    if (std::fgets(line, sizeof line, pipe) != nullptr) text = line;
    pclose(pipe);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? std::string(info.dli_fname) : text;
}

void tell(const char* what, bool is_shared, const Access& before, const void* at, unsigned thread) {
  if (!told.emplace(before.at, at).second) return;
  found += std::string(what) + (is_shared ? " of shared memory" : " of device memory") + " by thread " + std::to_string(thread) + " at " + place_of(at) + ", after thread " + std::to_string(before.thread) +
           (before.block == block ? "" : " of another block") + " at " + place_of(before.at) + "; ";
}

/// Whether another thread made `before` in this launch with nothing that orders it before now.
bool is_unordered(const Access& before, bool is_shared, unsigned thread) {
  if (before.block < first_block) return false;
  if (before.block != block) return !is_shared;
  return before.stretch == stretch && before.thread != thread;
}

void access(const void* memory, size_t size, bool is_write, bool is_atomic, const void* at) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  if (is_on_running_stack(memory)) return;
  const bool in_shared = is_shared(address);
  const unsigned thread = running_thread();
  for (uintptr_t i = address; i < address + size; ++i) {
    Byte& byte = page_of(i / page_bytes).bytes[i % page_bytes];
    if (!(is_atomic && byte.is_atomic) && is_unordered(byte.write, in_shared, thread)) tell(is_write ? "a write behind a write" : "a read behind a write", in_shared, byte.write, at, thread);
    if (is_write) {
      const bool by_others = byte.read.block >= first_block && ((byte.has_reading_blocks && !in_shared) || (byte.has_readers && byte.read.block == block && byte.read.stretch == stretch));
      if (by_others || is_unordered(byte.read, in_shared, thread)) tell("a write behind a read", in_shared, byte.read, at, thread);
      byte.write = {block, stretch, thread, at};
      byte.is_atomic = is_atomic;
    } else {
      const bool is_this_launch = byte.read.block >= first_block, is_this_stretch = byte.read.block == block && byte.read.stretch == stretch;
      byte.has_reading_blocks = is_this_launch && (byte.has_reading_blocks || byte.read.block != block);
      byte.has_readers = is_this_stretch && (byte.has_readers || byte.read.thread != thread);
      byte.read = {block, stretch, thread, at};
    }
  }
}

}  // namespace

void races_begin_launch(const void* dynamic_shared, size_t bytes) {
  // Earlier launches are in order with this one: what they did need not be kept.
  if (pages.size() > kept_pages) {
    pages.clear();
    std::fill(std::begin(recent), std::end(recent), std::pair<uintptr_t, Page*>{0, nullptr});
  }
  first_block = block + 1;
  shared_begin = reinterpret_cast<uintptr_t>(dynamic_shared);
  shared_end = shared_begin + bytes;
}
void races_begin_block() {
  ++block;
  ++stretch;
}
void races_cross_barrier() { ++stretch; }
void races_watch(bool on) { is_watching = on; }

void atomic_access(const void* memory, size_t size) {
  if (is_watching) access(memory, size, true, true, __builtin_return_address(0));
}

}  // namespace emulation

/// What has been found since the last question; empty: nothing.
extern "C" __attribute__((visibility("default"))) const char* bitwright_emulated_races() {
  static std::string answer;
  answer = std::exchange(emulation::found, "");
  return answer.c_str();
}

// What GCC calls for -fsanitize=thread (gcc/tsan.cc of its sources lists them).
#define BITWRIGHT_WATCH(name, size, is_write)                                                                                    \
  extern "C" void name(void* memory) {                                                                                            \
    if (emulation::is_watching) emulation::access(memory, size, is_write, false, __builtin_return_address(0));                    \
  }
#define BITWRIGHT_WATCH_SIZE(size)                     \
  BITWRIGHT_WATCH(__tsan_read##size, size, false)      \
  BITWRIGHT_WATCH(__tsan_write##size, size, true)      \
  BITWRIGHT_WATCH(__tsan_unaligned_read##size, size, false) \
  BITWRIGHT_WATCH(__tsan_unaligned_write##size, size, true)
BITWRIGHT_WATCH_SIZE(1)
BITWRIGHT_WATCH_SIZE(2)
BITWRIGHT_WATCH_SIZE(4)
BITWRIGHT_WATCH_SIZE(8)
BITWRIGHT_WATCH_SIZE(16)
extern "C" void __tsan_read_range(void* memory, size_t size) {
  if (emulation::is_watching) emulation::access(memory, size, false, false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* memory, size_t size) {
  if (emulation::is_watching) emulation::access(memory, size, true, false, __builtin_return_address(0));
}
// Atomic operations of the standard library: those of the host, in headers that kernels include. A kernel has none. One that is missing here is named when the library is loaded.
extern "C" int64_t __tsan_atomic64_fetch_add(volatile int64_t* at, int64_t value, int) { return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
