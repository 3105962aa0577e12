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
  Status clear(void* to, int64_t bytes) override;
  Status fill(void* to, int64_t bytes, const PieceReader& read) override;
  Status fetch(void* to, const void* from, int64_t bytes) override;
  Status run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) override;
  Status settle() override { return Status::fine(); }

 private:
  Pool pool_;
  BlockCache blocks_;
};

}  // namespace bitwright
