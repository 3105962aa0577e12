// CUDA's words on a processor, so that the kernels of the CUDA backend run where no GPU is: memory is the host's, a stream works at the call, a block's threads
// are fibers that take turns at barriers (grid.cc). What it shows: indices, barriers, arithmetic, the queue around them. races.cc, linked into a second library, adds the accesses that no barrier
// orders. What it cannot: speed, cuBLAS.
// Only what the backend uses is here.
#pragma once
#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>

#define __host__
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define CUDART_VERSION 13000

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidDevice = 101 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
using cudaStream_t = struct CUstream_st*;
struct CUevent_st {
  int64_t n_launched = 0;
};
using cudaEvent_t = CUevent_st*;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emulation {

/// 10 · major + minor of the device that is played: BITWRIGHT_EMULATED_CAPABILITY, else 90.
inline int capability() {
  const char* text = std::getenv("BITWRIGHT_EMULATED_CAPABILITY");
  return text != nullptr ? std::atoi(text) : 90;
}

/// Devices that are played: BITWRIGHT_EMULATED_DEVICES, else one. Each has a queue and tensors of its own; their kernels take turns.
inline int n_devices() {
  const char* text = std::getenv("BITWRIGHT_EMULATED_DEVICES");
  return text != nullptr ? std::atoi(text) : 1;
}

extern dim3 thread_index, block_index, block_size, grid_size;
extern unsigned char* dynamic_shared;
/// Launches so far. A launch that the host has not waited for may lie before a device still: grid.cc keeps how many that were at the most.
int64_t n_launched();
void wait_for_launches(int64_t n);
/// Runs `thread` for every thread of every block. Ends the program when threads of a block wait at different barriers.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);
void block_barrier();
/// What the thread in the lane that is lane ^ distance of the running one's gives for its own word.
uint32_t exchange(uint32_t word, int distance);

}  // namespace emulation

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size
#define BITWRIGHT_DYNAMIC_SHARED(name) unsigned char* name = emulation::dynamic_shared

inline void __syncthreads() { emulation::block_barrier(); }

template <class Word>
Word __shfl_xor_sync(unsigned, Word value, int distance) {
  static_assert(sizeof(Word) == 4);
  uint32_t word;
  std::memcpy(&word, &value, 4);
  word = emulation::exchange(word, distance);
  std::memcpy(&value, &word, 4);
  return value;
}

namespace emulation {

#ifdef BITWRIGHT_EMULATED_RACES
/// Tells races.cc, which else does not see what the functions below touch.
void atomic_access(const void* memory, size_t size);
#define BITWRIGHT_UNSEEN __attribute__((noinline, no_sanitize("thread")))
#else
inline void atomic_access(const void*, size_t) {}
#define BITWRIGHT_UNSEEN
#endif

/// Puts fn of what is there in its place; answers what was there.
template <class T, class Fn>
BITWRIGHT_UNSEEN T atomically(T* at, const Fn& fn) {
  atomic_access(at, sizeof(T));
  const T old = *at;
  *at = fn(old);
  return old;
}

}  // namespace emulation

template <class T>
T atomicMin(T* at, T value) {
  return emulation::atomically(at, [value](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* at, T value) {
  return emulation::atomically(at, [value](T old) { return value > old ? value : old; });
}
template <class T>
T atomicAdd(T* at, T value) {
  return emulation::atomically(at, [value](T old) { return old + value; });
}
template <class T>
T atomicExch(T* at, T value) {
  return emulation::atomically(at, [value](T) { return value; });
}

inline const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int index) { return index >= 0 && index < emulation::n_devices() ? cudaSuccess : cudaErrorInvalidDevice; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? emulation::capability() / 10 : emulation::capability() % 10;
  return cudaSuccess;
}
template <class T>
cudaError_t cudaFuncSetAttribute(T, cudaFuncAttribute, int) {
  return cudaSuccess;
}
/// Fresh memory holds no zeros, so that what is read before it is written shows; each block is one of malloc's, so that a memory checker sees its borders.
inline cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = std::malloc(bytes);
  std::memset(*block, 0xcb, bytes);
  return cudaSuccess;
}
template <class T>
cudaError_t cudaMalloc(T** block, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(block), bytes);
}
inline cudaError_t cudaMallocHost(void** block, size_t bytes) { return cudaMalloc(block, bytes); }
inline cudaError_t cudaFree(void* block) {
  std::free(block);
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* block) { return cudaFree(block); }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t) {
  for (size_t row = 0; row < height; ++row) std::memset(static_cast<char*>(to) + row * pitch, value, width);
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned) { return cudaSuccess; }
/// As much as a program here will not fill: what runs out is the limit of a device.
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = size_t{16} << 30;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  emulation::wait_for_launches(emulation::n_launched());
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaDeviceSynchronize(); }
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st{};
  return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->n_launched = emulation::n_launched();
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  emulation::wait_for_launches(event->n_launched);
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}

namespace bitwright::cuda {
class Context;
template <class... Parameters>
void launch(Context&, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  emulation::run_grid(grid, block, shared_bytes, [&] { kernel(arguments...); });
}
}  // namespace bitwright::cuda
