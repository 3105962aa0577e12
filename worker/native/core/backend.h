// What a device of one kind has to offer to the queue (device.h): memory, copies and the work of operations. The processor is one such backend
// (cpu-backend.h), a library that is loaded when it is asked for another (library-backend.h).
#pragma once
#include <atomic>
#include <functional>

#include "core/operation.h"

namespace bitwright {

/// Writes `bytes` bytes that begin at `offset` of a source to `to`. Asked for pieces in order.
using PieceReader = std::function<Status(void* to, int64_t offset, int64_t bytes)>;

/// All but `give` is called by the thread of the queue alone.
class Backend {
 public:
  virtual ~Backend() = default;
  /// At least `bytes` bytes, with whatever was in them; nullptr when there are no more.
  virtual void* take(int64_t bytes) = 0;
  /// From any thread: the last holder of a tensor gives it back.
  virtual void give(void* block, int64_t bytes) = 0;
  virtual Status clear(void* to, int64_t bytes) = 0;
  /// Bytes from the host into memory of the device.
  virtual Status fill(void* to, int64_t bytes, const PieceReader& read) = 0;
  /// Bytes back to the host, after all work before.
  virtual Status fetch(void* to, const void* from, int64_t bytes) = 0;
  /// May answer before the work is done; what then goes wrong is told by the next `settle`.
  virtual Status run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) = 0;
  /// Waits for all work; the first failure that `run` has not told.
  virtual Status settle() = 0;
};

}  // namespace bitwright
