// What a device of one kind has to offer to the queue (device.h): memory, copies and the work of operations. The processor is one such backend
// (cpu-backend.h), a library that is loaded when it is asked for another (library-backend.h).
#pragma once
#include <atomic>
#include <functional>

#include "core/operation.h"

namespace bitwright {

/// Writes `bytes` bytes that begin at `offset` of a source to `to`. Asked for pieces in order.
using PieceReader = std::function<Status(void* to, int64_t offset, int64_t bytes)>;

/// Bytes of a device, -1 where they are not known: all, and those that `take` could still get (what is kept and the limit counted in).
struct Room {
  int64_t total = -1;
  int64_t free = -1;
};

/// All but `give`, `give_host`, `limit`, `room` and `peak` is called by the thread of the queue alone.
class Backend {
 public:
  virtual ~Backend() = default;
  /// At least `bytes` bytes, with whatever was in them; nullptr when there are no more.
  virtual void* take(int64_t bytes) = 0;
  /// From any thread: the last holder of a tensor gives it back.
  virtual void give(void* block, int64_t bytes) = 0;
  /// A hard cap on what is taken from the device at a time, kept blocks counted in; beyond it `take` answers nullptr. 0: none.
  virtual void limit(int64_t bytes) = 0;
  virtual Room room() = 0;
  /// Bytes at their most, with what operations take beside their tensors, since it was last to begin anew; 0: the backend counts none, and tensors are all that is known.
  virtual int64_t peak(bool begins_anew) = 0;
  /// Host memory that the device copies to and from by itself; nullptr when there is no more.
  virtual void* take_host(int64_t bytes) = 0;
  virtual void give_host(void* block, int64_t bytes) = 0;
  /// Between such host memory and the device, in the order of the work; may answer before the copy is done.
  virtual Status to_host(void* host, const void* from, int64_t bytes) = 0;
  virtual Status to_device(void* to, const void* host, int64_t bytes) = 0;
  virtual Status clear(void* to, int64_t bytes) = 0;
  /// Bytes from the host into memory of the device.
  virtual Status fill(void* to, int64_t bytes, const PieceReader& read) = 0;
  /// Bytes back to the host, after all work before.
  virtual Status fetch(void* to, const void* from, int64_t bytes) = 0;
  /// May answer before the work is done; what then goes wrong is told by the next `settle`. Long operations look at `cancel` on their way and end with Status::cancelled().
  virtual Status run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) = 0;
  /// Waits for all work; the first failure that `run` has not told.
  virtual Status settle() = 0;
};

}  // namespace bitwright
