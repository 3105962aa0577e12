// CUDA's words on a processor, so that the kernels of the CUDA backend run where no GPU is: memory is the host's, streams work at the call or as late as CUDA's rules allow (streams.cc), a block's threads
// are fibers that take turns at barriers (grid.cc). What it shows: indices, barriers, arithmetic, the queue around them, and, in a library of its own, accesses that no barrier orders (races.cc). What it
// cannot: speed, cuBLAS.
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

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidDevice = 101, cudaErrorNotReady = 600 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;

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
/// Puts work behind what the stream has to do; a copy has an engine of its own, beside the one of kernels.
void enqueue(cudaStream_t stream, bool is_copy, std::function<void()> work);
/// Ends the program with a sentence where a device of the played capability would refuse the launch; counts it.
void check_launch(dim3 grid, dim3 block, size_t shared_bytes, const void* kernel);
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
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? emulation::capability() / 10 : emulation::capability() % 10;
  return cudaSuccess;
}
/// What a kernel may have of dynamic shared memory: 48 KB before this is called for it.
cudaError_t set_most_shared(const void* kernel, int bytes);
template <class T>
cudaError_t cudaFuncSetAttribute(T kernel, cudaFuncAttribute, int bytes) {
  return set_most_shared(reinterpret_cast<const void*>(kernel), bytes);
}
cudaError_t cudaSetDevice(int index);
cudaError_t cudaMalloc(void** block, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** block, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(block), bytes);
}
cudaError_t cudaMallocHost(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream);
/// As much as a program here will not fill: what runs out is the limit of a device.
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = size_t{16} << 30;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

namespace bitwright::cuda {
template <class Context, class... Parameters>
void launch(Context& context, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  emulation::check_launch(grid, block, shared_bytes, reinterpret_cast<const void*>(kernel));
  emulation::enqueue(context.stream(), false, [=] { emulation::run_grid(grid, block, shared_bytes, [&] { kernel(arguments...); }); });
}
}  // namespace bitwright::cuda
