// The thread pool: see pool.h.
#include "core/pool.h"

#include <stdexcept>
#include <string>
#include <system_error>

namespace bitwright {
namespace {

/// Looks again for some microseconds before giving up: operations follow each other closely, and waking a sleeping thread takes longer than many of them.
template <class Condition>
bool spin_until(const Condition& condition) {
  for (int look = 0; look < 1000; ++look) {
    if (condition()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    // Waits about as long; `yield` does nothing on most of these processors, and the looks would be over before any worker could see work.
    __asm__ volatile("isb" ::: "memory");
#endif
  }
  return false;
}

}  // namespace

Pool::Pool(int n_threads) {
  if (n_threads > most_threads) throw std::runtime_error("more than " + std::to_string(most_threads) + " only wait for each other, and the matrix library has no buffers for them");
  try {
    for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    const size_t n_started = workers_.size() + 1;
    stop();
    throw std::runtime_error("the system gives no more than " + std::to_string(n_started) + " (" + error.what() + ")");
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::take_tiles() {
  for (int64_t tile = next_.fetch_add(1); tile < n_tiles_; tile = next_.fetch_add(1)) (*fn_)(tile);
}

void Pool::work() {
  uint64_t seen = 0;
  while (true) {
    if (!spin_until([&] { return generation_.load(std::memory_order_acquire) != seen; })) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
    }
    seen = generation_.load(std::memory_order_acquire);
    take_tiles();
    if (n_busy_.fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
    // Under the lock, so that it cannot fall between the caller's look and its sleep.
    std::lock_guard lock(mutex_);
    done_.notify_one();
  }
}

void Pool::parallel_for(int64_t n_tiles, const std::function<void(int64_t)>& fn) {
  if (n_tiles <= 1 || workers_.empty()) {
    for (int64_t tile = 0; tile < n_tiles; ++tile) fn(tile);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    fn_ = &fn;
    n_tiles_ = n_tiles;
    next_ = 0;
    n_busy_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  wake_.notify_all();
  take_tiles();
  const auto all_done = [&] { return n_busy_.load(std::memory_order_acquire) == 0; };
  if (spin_until(all_done)) return;
  std::unique_lock lock(mutex_);
  done_.wait(lock, all_done);
}

void Pool::parallel_chunks(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& fn) {
  const int64_t n_chunks = (n + grain - 1) / grain;
  parallel_for(n_chunks, [&](int64_t chunk) { fn(chunk * grain, chunk * grain + grain < n ? chunk * grain + grain : n); });
}

}  // namespace bitwright
