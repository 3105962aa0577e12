// The thread pool: runs numbered tiles of work. Which thread takes which tile is open; what a tile computes never depends on it,
// and tile sizes never depend on the number of threads: that is why the bytes are the same at any thread count.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitwright {

/// OpenBLAS as Debian builds it has buffers for 640 callers at a time (128, and 512 that it adds with a warning) and ends the process at the next one. No machine
/// has more cores, and threads beyond the cores only wait for each other.
constexpr int most_threads = 512;

class Pool {
 public:
  /// Throws std::runtime_error with a sentence where so many threads cannot be had.
  explicit Pool(int n_threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  int n_threads() const { return static_cast<int>(workers_.size()) + 1; }
  /// Calls fn(tile) for every tile in [0, n_tiles); returns when all are done. The caller works too. Not reentrant.
  void parallel_for(int64_t n_tiles, const std::function<void(int64_t)>& fn);
  /// Splits [0, n) into chunks of `grain` and calls fn(begin, end); one chunk runs on the caller without waking a thread.
  void parallel_chunks(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& fn);

 private:
  void stop();
  void work();
  void take_tiles();
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t)>* fn_ = nullptr;
  std::atomic<int64_t> next_{0};
  int64_t n_tiles_ = 0;
  std::atomic<int> n_busy_{0};
  std::atomic<uint64_t> generation_{0};
  bool stop_ = false;
};

}  // namespace bitwright
