// A backend that is a library of its own: found by its path, loaded when it is asked for, spoken to by the table of backend-abi.h.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend-abi.h"
#include "core/backend.h"

namespace bitwright {

struct DeviceFacts {
  std::string name;
  bool usable = false;
  std::string reason;
  int64_t memory_bytes = -1;
  std::string compute_capability;
  std::vector<std::pair<std::string, std::string>> details;
};

/// A loaded library. It stays loaded until the process ends: drivers do not like to be unloaded.
class BackendLibrary {
 public:
  /// Loads the library once; later calls answer the same. `status` says why it could not be.
  static std::shared_ptr<const BackendLibrary> load(const std::string& path, Status& status);
  const char* kind() const { return table_->kind; }
  std::vector<DeviceFacts> devices() const;
  std::unique_ptr<Backend> open(int index, Status& status) const;
  bool has(const std::string& operation) const { return table_->has(operation.c_str()) != 0; }
  const bitwright_backend_table& table() const { return *table_; }

 private:
  explicit BackendLibrary(const bitwright_backend_table* table) : table_(table) {}
  const bitwright_backend_table* table_;
};

/// An opened device of a library.
class LibraryBackend : public Backend {
 public:
  LibraryBackend(const bitwright_backend_table& table, void* device) : table_(table), device_(device) {}
  ~LibraryBackend() override { table_.close(device_); }
  void* take(int64_t bytes) override { return table_.take(device_, bytes); }
  void give(void* block, int64_t bytes) override { table_.give(device_, block, bytes); }
  void limit(int64_t bytes) override { table_.limit(device_, bytes); }
  Room room() override;
  int64_t peak(bool begins_anew) override { return table_.peak(device_, begins_anew ? 1 : 0); }
  void* take_host(int64_t bytes) override { return table_.take_host(device_, bytes); }
  void give_host(void* block, int64_t bytes) override { table_.give_host(device_, block, bytes); }
  Status to_host(void* host, const void* from, int64_t bytes) override;
  Status to_device(void* to, const void* host, int64_t bytes) override;
  Status clear(void* to, int64_t bytes) override;
  Status fill(void* to, int64_t bytes, const PieceReader& read) override;
  Status fetch(void* to, const void* from, int64_t bytes) override;
  Status run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) override;
  Status settle() override;
  /// See bitwright_backend_table::measure.
  Status measure(const std::string& what, int64_t m, int64_t n, int64_t k, double& rate);

 private:
  const bitwright_backend_table& table_;
  void* device_;
};

}  // namespace bitwright
