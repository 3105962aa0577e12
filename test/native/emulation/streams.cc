// Streams, events and the memory of devices and host: see cuda_runtime_api.h. What CUDA may do at the call or later is done
// - at the call (BITWRIGHT_EMULATED_STREAMS=early),
// - as late as its rules allow, when the host waits for it or what it waits for needs it (late), so that a buffer that is read, written or given away too early shows,
// - or late, but for copies, which run as soon as what is before them in their stream has run (copies-first), as on a device whose kernels are slow and whose copy engine is free: so
//   shows a copy that does not wait for the kernels that still use its target.
// Two libraries are made of this: one with guarded-memory.cc, which gives a block back to the system while work that uses it may lie in a queue, and so is early; and one with the backend's own
// memory, whose blocks go from one use to the next, which is late if the variable says nothing else.
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"

struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
  /// Work, or a place where the stream waits for another to have done so much.
  struct Item {
    std::function<void()> work;
    bool is_copy = false;
    std::shared_ptr<CUstream_st> awaited;
    int64_t awaited_items = 0;
  };
  int device = 0;
  std::deque<Item> items;
  int64_t n_enqueued = 0, n_done = 0;
};

/// A place in a stream; none: never recorded, which is a place that every stream has passed.
struct CUevent_st {
  std::shared_ptr<CUstream_st> stream;
  int64_t n_items = 0, n_launched = 0;
};

namespace emulation {
namespace {

enum class Order { early, late, copies_first };

Order order() {
#ifdef BITWRIGHT_GUARDED_MEMORY
  return Order::early;
#endif
  const char* text = std::getenv("BITWRIGHT_EMULATED_STREAMS");
  const std::string name = text != nullptr ? text : "late";
  if (name == "early") return Order::early;
  if (name == "late") return Order::late;
  if (name == "copies-first") return Order::copies_first;
  std::fprintf(stderr, "emulation: BITWRIGHT_EMULATED_STREAMS is %s; it is one of early, late, copies-first\n", name.c_str());
  std::abort();
}

using Stream = std::shared_ptr<CUstream_st>;

/// Several devices have a thread each; what one does is done before another goes on.
std::mutex one_at_a_time;
std::vector<Stream> streams;
thread_local int current_device = 0;
int64_t launched = 0, waited_for = 0, most_ahead = 0;
std::map<const void*, size_t> most_shared;

bool has_passed(const CUstream_st::Item& item) { return item.awaited == nullptr || item.awaited->n_done >= item.awaited_items; }

void run_first(CUstream_st& stream) {
  const CUstream_st::Item item = std::move(stream.items.front());
  stream.items.pop_front();
  if (item.work) item.work();
  ++stream.n_done;
}

/// Runs what goes ahead by itself.
void run_copies() {
  for (bool ran = true; ran;) {
    ran = false;
    for (const Stream& stream : streams)
      while (!stream->items.empty() && (stream->items.front().work ? stream->items.front().is_copy : has_passed(stream->items.front()))) {
        run_first(*stream);
        ran = true;
      }
  }
}

void run_until(CUstream_st& stream, int64_t n_items) {
  const bool copies_go_ahead = order() == Order::copies_first;
  while (stream.n_done < n_items) {
    if (const CUstream_st::Item& first = stream.items.front(); !has_passed(first)) {
      run_until(*first.awaited, first.awaited_items);
      continue;
    }
    run_first(stream);
    if (copies_go_ahead) run_copies();
  }
}

void add(CUstream_st* stream, CUstream_st::Item item) {
  if (stream == nullptr) {
    std::fprintf(stderr, "emulation: work for the default stream, which waits for all others: it belongs on a stream of its own\n");
    std::abort();
  }
  stream->items.push_back(std::move(item));
  ++stream->n_enqueued;
  const Order when = order();
  if (when == Order::early) run_until(*stream, stream->n_enqueued);
  else if (when == Order::copies_first) run_copies();
}

void run_device(int device) {
  for (size_t i = 0; i < streams.size(); ++i)
    if (streams[i]->device == device) run_until(*Stream(streams[i]), streams[i]->n_enqueued);
  std::erase_if(streams, [&](const Stream& stream) { return stream.use_count() == 1 && stream->items.empty(); });
}

/// Blocks are pages of their own, which are gone when they are given back: whoever uses one later ends there, until another has its place.
std::map<const void*, size_t> blocks;
/// Streams that the program holds.
std::map<cudaStream_t, Stream> held;

cudaError_t give(void* block) {
  if (block == nullptr) return cudaSuccess;
  const auto found = blocks.find(block);
  if (found == blocks.end()) return cudaErrorInvalidValue;
  // What is given back is waited for by all streams of the device (CUDA C++ Programming Guide, stream-ordered memory allocator).
  run_device(current_device);
  munmap(block, found->second);
  blocks.erase(found);
  return cudaSuccess;
}

size_t most_shared_of_device() {
  // CUDA C++ Programming Guide, technical specifications by compute capability: shared memory of a block.
  const int capability = emulation::capability();
  return (capability < 80 ? 64 : capability == 80 || capability == 87 ? 163 : capability < 90 || capability >= 120 ? 99 : 227) * size_t{1024};
}

std::string text(dim3 size) { return std::to_string(size.x) + " × " + std::to_string(size.y) + " × " + std::to_string(size.z); }

}  // namespace

void enqueue(cudaStream_t stream, bool is_copy, std::function<void()> work) {
  const std::lock_guard lock(one_at_a_time);
  add(stream, {std::move(work), is_copy, nullptr, 0});
}

void check_launch(dim3 grid, dim3 block, size_t shared_bytes, const void* kernel) {
  const std::lock_guard lock(one_at_a_time);
  const auto refuse = [&](const std::string& why) {
    std::fprintf(stderr, "emulation: a device refuses a launch of %s blocks of %s threads with %zu bytes of shared memory: %s\n", text(grid).c_str(), text(block).c_str(), shared_bytes, why.c_str());
    std::abort();
  };
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) refuse("an extent is 0");
  if (grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535) refuse("a grid has 2^31 - 1 × 65535 × 65535 blocks at the most");
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || uint64_t{block.x} * block.y * block.z > 1024) refuse("a block has 1024 threads at the most, and 64 in z");
  const auto asked = most_shared.find(kernel);
  const size_t allowed = std::max<size_t>(asked == most_shared.end() ? 0 : asked->second, 48 << 10);
  if (shared_bytes > allowed) refuse("it was allowed " + std::to_string(allowed) + "; cudaFuncSetAttribute allows more");
  most_ahead = std::max(most_ahead, ++launched - waited_for);
}

}  // namespace emulation

using namespace emulation;

cudaError_t set_most_shared(const void* kernel, int bytes) {
  const std::lock_guard lock(one_at_a_time);
  if (bytes < 0 || static_cast<size_t>(bytes) > most_shared_of_device()) return cudaErrorInvalidValue;
  most_shared[kernel] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= n_devices()) return cudaErrorInvalidDevice;
  current_device = index;
  return cudaSuccess;
}

/// Fresh memory holds no zeros, so that what is read before it is written shows.
cudaError_t cudaMalloc(void** block, size_t bytes) {
  const std::lock_guard lock(one_at_a_time);
  *block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*block == MAP_FAILED) return cudaErrorInvalidValue;
  std::memset(*block, 0xcb, bytes);
  blocks[*block] = bytes;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** block, size_t bytes) { return cudaMalloc(block, bytes); }
cudaError_t cudaFree(void* block) {
  const std::lock_guard lock(one_at_a_time);
  return give(block);
}
cudaError_t cudaFreeHost(void* block) { return cudaFree(block); }

/// Of host memory that is not pinned CUDA says that a copy "might be synchronous": here none is, whoever relies on it is wrong.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  enqueue(stream, true, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) { return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream); }
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  enqueue(stream, true, [=] {
    for (size_t row = 0; row < height; ++row) std::memset(static_cast<char*>(to) + row * pitch, value, width);
  });
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(one_at_a_time);
  run_device(current_device);
  waited_for = launched;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(one_at_a_time);
  streams.push_back(std::make_shared<CUstream_st>());
  streams.back()->device = current_device;
  *stream = streams.back().get();
  held[*stream] = streams.back();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(one_at_a_time);
  if (event->stream != nullptr) add(stream, {nullptr, false, event->stream, event->n_items});
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(one_at_a_time);
  run_until(*stream, stream->n_enqueued);
  waited_for = launched;
  return cudaSuccess;
}
/// What it still has to do is done.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(one_at_a_time);
  held.erase(stream);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(one_at_a_time);
  *event = {stream->shared_from_this(), stream->n_enqueued, launched};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(one_at_a_time);
  if (event->stream != nullptr) run_until(*event->stream, event->n_items);
  waited_for = std::max(waited_for, event->n_launched);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const std::lock_guard lock(one_at_a_time);
  for (const cudaEvent_t event : {begin, end})
    if (event->stream == nullptr || event->stream->n_done < event->n_items) return event->stream == nullptr ? cudaErrorInvalidValue : cudaErrorNotReady;
  *milliseconds = 1;
  return cudaSuccess;
}

/// How many launches the host was ahead of what it had waited for, at the most since the last question.
extern "C" __attribute__((visibility("default"))) int64_t bitwright_emulated_most_ahead() {
  const std::lock_guard lock(one_at_a_time);
  return std::exchange(most_ahead, 0);
}
