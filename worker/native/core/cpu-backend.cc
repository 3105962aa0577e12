// The processor as a backend: see cpu-backend.h.
#include "core/cpu-backend.h"

#include <unistd.h>

#include <cstring>

namespace bitwright {

Room CpuBackend::room() {
  // How much of the machine is free the system says better: it counts caches of files, and control groups.
  return {sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), blocks_.limit() > 0 ? static_cast<int64_t>(blocks_.left()) : -1};
}

Status CpuBackend::clear(void* to, int64_t bytes) {
  std::memset(to, 0, static_cast<size_t>(bytes));
  return Status::fine();
}

Status CpuBackend::fill(void* to, int64_t bytes, const PieceReader& read) { return read(to, 0, bytes); }

Status CpuBackend::fetch(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
  return Status::fine();
}

Status CpuBackend::run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) {
  RunContext context{pool_, cancel};
  Status status = operation.run(context, inputs, results, options);
  if (status.ok() || status.message.rfind("cancelled: ", 0) == 0) return status;
  return Status::error(call_text(operation.name, inputs) + ": " + status.message);
}

}  // namespace bitwright
