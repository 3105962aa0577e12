// What the emulation puts in the place of the driver, of cuBLAS and of the device's memory: one device or BITWRIGHT_EMULATED_DEVICES of them, matrix products in plain loops with sums in F32, and
// tensors that end at a page which nobody may touch, so that a kernel that reads or writes behind one ends the program.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cuda/cublas.h"
#include "cuda/driver.h"
#include "cuda/memory.h"
#include "library_types.h"

#include "core/dtype.h"

namespace bitwright::cuda {
namespace {

/// Element (row, column) of op(A), A as cuBLAS counts it: columns first.
template <class Real>
Real element(const void* data, int type, int ld, bool transposed, int row, int column) {
  const long at = transposed ? static_cast<long>(row) * ld + column : static_cast<long>(column) * ld + row;
  if (type == CUDA_R_64F) return static_cast<Real>(static_cast<const double*>(data)[at]);
  if (type == CUDA_R_16BF) return static_cast<Real>(bf16_to_float(static_cast<const uint16_t*>(data)[at]));
  return static_cast<Real>(static_cast<const float*>(data)[at]);
}

template <class Real>
void multiply(int ta, int tb, int m, int n, int k, Real alpha, const void* A, int a_type, int lda, const void* B, int b_type, int ldb, Real beta, Real* C, int ldc) {
  for (int column = 0; column < n; ++column)
    for (int row = 0; row < m; ++row) {
      Real sum = 0;
      for (int i = 0; i < k; ++i) sum += element<Real>(A, a_type, lda, ta == cublas_value::transposed, row, i) * element<Real>(B, b_type, ldb, tb == cublas_value::transposed, i, column);
      Real& result = C[static_cast<long>(column) * ldc + row];
      result = beta == 0 ? alpha * sum : alpha * sum + beta * result;
    }
}

int gemm_ex(CublasHandle, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int a_type, int lda, const void* B, int b_type, int ldb, const void* beta, void* C, int c_type, int ldc,
            int compute, int) {
  // The combinations that cuBLAS knows of those that are asked for; leading dimensions as it demands them.
  const bool is_double = a_type == CUDA_R_64F && b_type == CUDA_R_64F && c_type == CUDA_R_64F && compute == cublas_value::compute_f64;
  const bool is_float = a_type == CUDA_R_32F && b_type == CUDA_R_32F && c_type == CUDA_R_32F && compute == cublas_value::compute_f32_pedantic;
  const bool is_bf16 = a_type == CUDA_R_16BF && b_type == CUDA_R_16BF && c_type == CUDA_R_32F && compute == cublas_value::compute_f32 && emulation::capability() >= 80;
  const bool fits = lda >= (ta == cublas_value::transposed ? k : m) && ldb >= (tb == cublas_value::transposed ? n : k) && ldc >= m && m > 0 && n > 0 && k > 0;
  if (!fits || !(is_double || is_float || is_bf16)) return 7;
  if (is_double) multiply<double>(ta, tb, m, n, k, *static_cast<const double*>(alpha), A, a_type, lda, B, b_type, ldb, *static_cast<const double*>(beta), static_cast<double*>(C), ldc);
  else multiply<float>(ta, tb, m, n, k, *static_cast<const float*>(alpha), A, a_type, lda, B, b_type, ldb, *static_cast<const float*>(beta), static_cast<float*>(C), ldc);
  return cublas_value::success;
}

}  // namespace

namespace {

struct Mapping {
  size_t bytes, offset;
};
Mapping mapping_of(int64_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), used = (static_cast<size_t>(bytes) + 15) / 16 * 16, pages = (used + page - 1) / page * page;
  return {pages + page, pages - used};
}

}  // namespace

// Nothing is kept, so that a use after the end shows.
DeviceMemory::~DeviceMemory() = default;
void DeviceMemory::release_all() {}
uint64_t DeviceMemory::last_use(const void*) const { return 0; }
int64_t DeviceMemory::left(int64_t free_on_device) const {
  std::lock_guard lock(mutex_);
  return limit_ == 0 ? free_on_device : std::max<int64_t>(0, limit_ - held_bytes_);
}

int64_t DeviceMemory::peak(bool begins_anew) {
  std::lock_guard lock(mutex_);
  if (begins_anew) peak_bytes_ = held_bytes_;
  return peak_bytes_;
}

void* DeviceMemory::take(int64_t bytes) {
  const Mapping mapping = mapping_of(bytes);
  std::lock_guard lock(mutex_);
  if (!fits(static_cast<size_t>(bytes))) return nullptr;
  void* begin = mmap(nullptr, mapping.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  held_bytes_ += bytes;
  count_peak();
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // Fresh memory holds no zeros, so that what is read before it is written shows.
  std::memset(begin, 0xcb, mapping.bytes - page);
  mprotect(static_cast<char*>(begin) + mapping.bytes - page, page, PROT_NONE);
  return static_cast<char*>(begin) + mapping.offset;
}

void DeviceMemory::give(void* block, int64_t bytes) {
  const Mapping mapping = mapping_of(bytes);
  if (block == nullptr) return;
  munmap(static_cast<char*>(block) - mapping.offset, mapping.bytes);
  std::lock_guard lock(mutex_);
  held_bytes_ -= bytes;
}

PinnedMemory::~PinnedMemory() = default;
void PinnedMemory::release_all() {}
void* PinnedMemory::take(int64_t bytes) { return std::malloc(static_cast<size_t>(std::max<int64_t>(1, bytes))); }
void PinnedMemory::give(void* block, int64_t) { std::free(block); }

const Cublas* load_cublas(Status&) {
  static const Cublas functions = [] {
    Cublas all;
    all.create = [](CublasHandle*) { return cublas_value::success; };
    all.destroy = [](CublasHandle) { return cublas_value::success; };
    all.set_stream = [](CublasHandle, cudaStream_t) { return cublas_value::success; };
    all.set_workspace = [](CublasHandle, void*, size_t) { return cublas_value::success; };
    all.gemm_ex = gemm_ex;
    return all;
  }();
  return &functions;
}

int n_devices() { return emulation::n_devices(); }

void describe(int index, bitwright_device_info& info) {
  info = {};
  info.memory_bytes = -1;
  std::snprintf(info.name, sizeof info.name, "CUDA, emulated");
  info.usable = index >= 0 && index < emulation::n_devices();
}

}  // namespace bitwright::cuda
