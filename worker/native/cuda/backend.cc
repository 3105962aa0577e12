// The one function that this library exports: the table of core/backend-abi.h, with every exception turned into its sentence.
#include <cstdio>
#include <exception>

#include "cuda/context.h"
#include "cuda/driver.h"
#include "cuda/operations.h"

namespace bitwright::cuda {
namespace {

Context& context_of(void* device) { return *static_cast<Context*>(device); }

/// Runs fn; 0, or 1 with the sentence in `text`, or BITWRIGHT_CANCELLED.
template <class Fn>
int32_t guarded(char* text, const Fn& fn) {
  const auto tell = [text](const char* sentence) {
    std::snprintf(text, BITWRIGHT_TEXT_SIZE, "%s", sentence);
    return 1;
  };
  try {
    fn();
    return 0;
  } catch (const Cancelled&) {
    return BITWRIGHT_CANCELLED;
  } catch (const Failure& failure) {
    return tell(failure.text.c_str());
  } catch (const std::exception& error) {
    return tell(error.what());
  }
}

template <class Fn>
int32_t on_device(void* device, char* text, const Fn& fn) {
  return guarded(text, [&] {
    context_of(device).select();
    fn(context_of(device));
  });
}

void* open(int32_t index, char* text) {
  Context* context = nullptr;
  guarded(text, [&] { context = new Context(index); });
  return context;
}

void* take(void* device, int64_t bytes) {
  char unused[BITWRIGHT_TEXT_SIZE];
  void* block = nullptr;
  on_device(device, unused, [&](Context& context) { block = context.memory().take(bytes); });
  return block;
}

void room(void* device, int64_t* total, int64_t* free) {
  char unused[BITWRIGHT_TEXT_SIZE];
  on_device(device, unused, [&](Context& context) {
    const Room room = context.room();
    *total = room.total;
    *free = room.free;
  });
}

void* take_host(void* device, int64_t bytes) {
  char unused[BITWRIGHT_TEXT_SIZE];
  void* block = nullptr;
  on_device(device, unused, [&](Context& context) { block = context.pinned().take(bytes); });
  return block;
}

int32_t fill(void* device, void* to, int64_t bytes, int32_t (*read)(void*, void*, int64_t, int64_t), void* state, char* text) {
  return on_device(device, text, [&](Context& context) { context.fill(to, bytes, [&](void* host, int64_t offset, int64_t count) { return read(state, host, offset, count) == 0; }); });
}

const bitwright_backend_table table = {
    BITWRIGHT_BACKEND_ABI,
    "cuda",
    [] { return static_cast<int32_t>(n_devices()); },
    [](int32_t index, bitwright_device_info* info) { describe(index, *info); },
    open,
    [](void* device) { delete static_cast<Context*>(device); },
    take,
    [](void* device, void* block, int64_t bytes) { context_of(device).memory().give(block, bytes); },
    [](void* device, void* to, int64_t bytes, char* text) { return on_device(device, text, [&](Context& context) { context.clear(to, bytes); }); },
    fill,
    [](void* device, void* to, const void* from, int64_t bytes, char* text) { return on_device(device, text, [&](Context& context) { context.fetch(to, from, bytes); }); },
    [](const char* operation) { return static_cast<int32_t>(find_kernel(operation) != nullptr); },
    [](void* device, const bitwright_call* call, char* text) { return on_device(device, text, [&](Context& context) { context.run(*call); }); },
    [](void* device, char* text) {
      return on_device(device, text, [](Context& context) {
        if (const std::string fault = context.settle(); !fault.empty()) throw Failure{fault};
      });
    },
    [](void* device, const char* what, int64_t m, int64_t n, int64_t k, double* rate, char* text) {
      return on_device(device, text, [&](Context& context) { *rate = context.measure(what, m, n, k); });
    },
    [](void* device, int64_t bytes) { context_of(device).memory().limit(bytes); },
    room,
    take_host,
    [](void* device, void* block, int64_t bytes) { context_of(device).pinned().give(block, bytes); },
    [](void* device, void* host, const void* from, int64_t bytes, char* text) {
      return on_device(device, text, [&](Context& context) { context.copy(host, from, bytes, cudaMemcpyDeviceToHost); });
    },
    [](void* device, void* to, const void* host, int64_t bytes, char* text) {
      return on_device(device, text, [&](Context& context) { context.copy(to, host, bytes, cudaMemcpyHostToDevice); });
    },
    [](void* device, int32_t begins_anew) { return context_of(device).memory().peak(begins_anew != 0); }};

}  // namespace
}  // namespace bitwright::cuda

extern "C" __attribute__((visibility("default"))) const bitwright_backend_table* bitwright_backend(void) { return &bitwright::cuda::table; }
