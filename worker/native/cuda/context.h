// What an operation on a CUDA device works with: the stream, memory for its intermediate results, matrix products, and a place where kernels
// leave word of values that are wrong. An operation enqueues its kernels and goes; it waits only where a decision needs a number from the device.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend-abi.h"
#include "core/backend.h"
#include "core/operation.h"
#include "cuda/cublas.h"
#include "cuda/memory.h"

namespace bitwright::cuda {

/// Ends an operation with a sentence; caught where the library meets its caller (backend.cc).
struct Failure {
  std::string text;
  /// The sentence names its call already.
  bool is_complete = false;
};
/// Throws when a call of the CUDA runtime failed.
void check(cudaError_t error, const char* call);

/// Ends an operation whose results nobody wants any more.
struct Cancelled {};

class Context;

/// Memory for an operation's intermediate results, given back at its end.
template <class T>
class Scratch {
 public:
  Scratch(DeviceMemory& memory, T* data, int64_t bytes) : memory_(&memory), data_(data), bytes_(bytes) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&& other) noexcept : memory_(other.memory_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  ~Scratch() { memory_->give(data_, bytes_); }
  T* data() const { return data_; }

 private:
  DeviceMemory* memory_;
  T* data_;
  int64_t bytes_;
};

/// A word of a kernel about a value that is wrong: where, and what was there. The first place wins, whatever the order of the threads.
using FaultSlot = unsigned long long;
/// Makes the sentence of a fault from the place and the 32 bits of the value.
using FaultText = std::function<std::string(uint32_t place, uint32_t bits)>;

class Context {
 public:
  explicit Context(int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return stream_; }
  /// 10 · major + minor of the compute capability.
  int capability() const { return capability_; }
  DeviceMemory& memory() { return memory_; }

  template <class T>
  Scratch<T> scratch(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    void* data = memory_.take(bytes);
    await_fill(data);
    // What is free is counted here: at the end of the operation its other intermediate results are given back.
    if (data == nullptr) throw Failure{"out of memory: " + std::to_string(bytes) + " bytes for an intermediate result, " + std::to_string(room().free) + " free"};
    return Scratch<T>(memory_, static_cast<T*>(data), bytes);
  }
  PinnedMemory& pinned() { return pinned_; }
  Room room() const;
  void clear(void* to, int64_t bytes);
  /// One value from the device, after all work before.
  void read(void* to, const void* from, int64_t bytes);

  /// A place for the kernels of the running operation; what they leave is told at the next settle, with the name of the operation.
  FaultSlot* fault(FaultText text);

  /// C [M × N] = alpha · op(A) · op(B) + beta · C, row-major, leading dimensions are row strides. `type` is that of A and B: F32, BF16 or F64;
  /// C is F64 for F64, else F32. F32 is computed in F32 (no TF32), BF16 on tensor cores with F32 sums.
  void gemm(DType type, bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, double alpha, const void* A, int64_t lda, const void* B, int64_t ldb, double beta, void* C, int64_t ldc);
  /// Products of BF16 need compute capability 8.0.
  bool has_bf16() const { return capability_ >= 80; }

  // The face of the backend.
  void fill(void* to, int64_t bytes, const std::function<bool(void* host, int64_t offset, int64_t count)>& read_piece);
  void fetch(void* to, const void* from, int64_t bytes);
  /// Between pinned memory and the device, in the stream's order.
  void copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind);
  void run(const bitwright_call& call);
  /// Waits for all work; the sentence of the first fault since the last time, else empty.
  std::string settle();
  /// Waits like settle and ends the running operation with what it finds: before a decision that rests on numbers from the device.
  void settle_here() {
    if (std::string fault = settle(); !fault.empty()) throw Failure{std::move(fault), true};
    // What the operation still enqueues has not been waited for.
    memory_.count_call();
  }
  /// Between the steps of a long operation: ends it when it is cancelled. Holds the host back until the device is at most a few steps behind: without that all steps
  /// would be enqueued long before anybody cancels. So are short operations, `calls_a_step` at a time, and the queue in front of them looks whether they are wanted.
  void step();
  double measure(const std::string& what, int64_t m, int64_t n, int64_t k);
  /// Makes this thread speak to this device.
  void select();

 private:
  struct Pending {
    std::string call;
    FaultText text;
  };
  /// Bytes on their way to the device beside the work of the stream.
  struct Filled {
    const char* begin;
    const char* end;
    cudaEvent_t done;
  };
  std::string take_fault();
  /// Waits until the device has done all but the last `most_behind` steps.
  void hold_back();
  /// One more call of the queue.
  void count_call();
  /// The stream that fills memory beside the work: after whatever the block was used for before.
  cudaStream_t stream_to_fill(const void* block);
  /// The work that comes now uses the memory at `data`: after it is filled.
  void await_fill(const void* data);
  cudaEvent_t take_event();

  int index_;
  int capability_ = 0;
  cudaStream_t stream_ = nullptr;
  /// Large fills run beside the work.
  cudaStream_t fills_ = nullptr;
  std::vector<Filled> filled_;
  std::vector<cudaEvent_t> events_;
  uint64_t settled_calls_ = 0;
  DeviceMemory memory_;
  PinnedMemory pinned_;
  const Cublas* cublas_ = nullptr;
  CublasHandle handle_ = nullptr;
  void* workspace_ = nullptr;
  /// Pinned host memory in pieces; a piece may be used again when its event has passed.
  static constexpr int n_pieces = 4;
  static constexpr int64_t piece_bytes = int64_t{8} << 20;
  char* staging_ = nullptr;
  cudaEvent_t staged_[n_pieces] = {};
  int64_t next_piece_ = 0;
  FaultSlot* faults_ = nullptr;
  std::vector<Pending> pending_;
  std::string told_;     // a fault that was found before the next settle asked for it
  std::string current_;  // the running call, for the sentence of a fault
  const bitwright_call* call_ = nullptr;
  /// Passed when the device has done what was enqueued before the last steps.
  static constexpr size_t most_behind = 4;
  cudaEvent_t steps_[most_behind] = {};
  size_t n_steps_ = 0;
  /// Few, and a device has nothing left to do while the host reads the next weights from a file; many, and a cancel waits for them: for five times as many at the most.
  static constexpr int64_t calls_a_step = 64;
  int64_t n_short_calls_ = 0;
  std::vector<std::string> since_settled_;
};

/// The work of one operation.
using Kernel = void (*)(Context& context, const Views& inputs, const Views& results, const Options& options);
struct NamedKernel {
  const char* name;
  Kernel run;
};
using KernelList = std::vector<NamedKernel>;

}  // namespace bitwright::cuda
