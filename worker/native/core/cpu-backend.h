// The processor as a backend: the list of operations.h on a pool of threads. It works at the call, so nothing is left to settle.
#pragma once
#include "core/backend.h"
#include "core/block-cache.h"

namespace bitwright {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(int n_threads) : pool_(n_threads) {}
  void* take(int64_t bytes) override { return blocks_.take(static_cast<size_t>(bytes)); }
  void give(void* block, int64_t bytes) override { blocks_.give(block, static_cast<size_t>(bytes)); }
  void limit(int64_t bytes) override { blocks_.limit(static_cast<size_t>(bytes)); }
  Room room() override;
  int64_t peak(bool) override { return 0; }
  // The memory of this device is the host's.
  void* take_host(int64_t) override { return nullptr; }
  void give_host(void*, int64_t) override {}
  Status to_host(void*, const void*, int64_t) override { return no_host(); }
  Status to_device(void*, const void*, int64_t) override { return no_host(); }
  Status clear(void* to, int64_t bytes) override;
  Status fill(void* to, int64_t bytes, const PieceReader& read) override;
  Status fetch(void* to, const void* from, int64_t bytes) override;
  Status run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) override;
  Status settle() override { return Status::fine(); }

 private:
  static Status no_host() { return Status::error("the processor has no memory beside that of the host"); }
  Pool pool_;
  BlockCache blocks_;
};

}  // namespace bitwright
