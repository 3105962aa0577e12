// The thread pool: see pool.h.
#include "core/pool.h"

namespace bitwright {

Pool::Pool(int n_threads) {
  for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this] { work(); });
}

Pool::~Pool() {
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
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
    if (stop_) return;
    seen = generation_;
    lock.unlock();
    take_tiles();
    lock.lock();
    if (--n_busy_ == 0) done_.notify_one();
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
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return n_busy_ == 0; });
}

void Pool::parallel_chunks(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& fn) {
  const int64_t n_chunks = (n + grain - 1) / grain;
  parallel_for(n_chunks, [&](int64_t chunk) { fn(chunk * grain, chunk * grain + grain < n ? chunk * grain + grain : n); });
}

}  // namespace bitwright
