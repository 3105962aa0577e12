// A device: an in-order queue of operations on tensors, run by one executor thread on a backend. Results get their storage when the operation runs
// and lose it when the release passes in the queue, so memory follows the work, not the calls.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "core/backend.h"

namespace bitwright {

/// What the storages of a device share; the last of them may outlive it.
struct Memory {
  std::atomic<int64_t> current_bytes{0};
  /// In host memory that the device copies to by itself.
  std::atomic<int64_t> host_bytes{0};
  std::unique_ptr<Backend> backend;
};

/// Bytes of one or more tensors; counted by its device.
struct Storage {
  void* data = nullptr;
  int64_t bytes = 0;
  bool on_host = false;
  std::shared_ptr<Memory> memory;
  ~Storage();
};

/// A tensor that JavaScript may hold before its bytes exist. `storage` is touched by the executor alone.
struct TensorState {
  TensorSpec spec;
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;
  /// It lies in host memory beside the device: known at the call. Only aliases, `to_device` and `read` take it.
  bool on_host = false;
};
using Tensor = std::shared_ptr<TensorState>;

class Device {
 public:
  explicit Device(std::unique_ptr<Backend> backend);
  /// On the processor.
  explicit Device(int n_threads);
  ~Device();

  Tensor from_bytes(TensorSpec spec, const void* bytes);
  Tensor from_file(TensorSpec spec, const std::string& path, int64_t offset);
  Tensor zeros(TensorSpec spec);
  /// Inputs may hold nullptr where an input is optional. Misuse is answered at once, failures of the work at the next read or sync.
  Status enqueue(const std::string& name, const std::vector<Tensor>& inputs, const Options& options, std::vector<Tensor>& results);
  /// A copy in host memory that the device reads and writes by itself, and one back on the device; in the queue's order.
  Status to_host(Tensor tensor, Tensor& result);
  Status to_device(Tensor tensor, Tensor& result);
  void release(Tensor tensor);
  /// `done` runs on the executor thread after all that was enqueued before: the first failure since the last read or sync, else the bytes.
  void read(Tensor tensor, std::function<void(Status, std::vector<uint8_t>)> done);
  void sync(std::function<void(Status)> done);
  void cancel() { cancel_ = true; }
  void resume();
  int64_t current_bytes() const { return memory_->current_bytes; }
  /// Of tensors, and of what operations took beside them where the backend knows.
  int64_t peak_bytes() { return std::max(peak_bytes_.load(), backend().peak(false)); }
  int64_t host_bytes() const { return memory_->host_bytes; }
  int64_t host_peak_bytes() const { return host_peak_bytes_; }
  void reset_peak() {
    peak_bytes_ = memory_->current_bytes.load();
    backend().peak(true);
    host_peak_bytes_ = memory_->host_bytes.load();
  }
  /// A hard cap on the memory of the device that is taken at a time, kept blocks counted in; 0: none.
  void limit(int64_t bytes) {
    limit_bytes_ = bytes;
    backend().limit(bytes);
  }
  int64_t limit_bytes() const { return limit_bytes_; }
  Room room() { return backend().room(); }

 private:
  void push(std::function<void()> command);
  void execute();
  bool allocate(TensorState& tensor, bool clear);
  void run(const Operation& operation, const std::vector<Tensor>& inputs, const std::vector<Tensor>& results, const Options& options);
  Tensor fill(TensorSpec spec, PieceReader read);
  Tensor copy(const Tensor& tensor, bool to_host);
  Backend& backend() { return *memory_->backend; }
  Status take_failure();

  std::atomic<bool> cancel_{false};
  Status failure_;  // executor thread only
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
  std::atomic<int64_t> peak_bytes_{0}, host_peak_bytes_{0}, limit_bytes_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stop_ = false;
  std::thread executor_;
};

}  // namespace bitwright
