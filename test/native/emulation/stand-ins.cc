// What the emulation puts in the place of the driver and of cuBLAS: one device or BITWRIGHT_EMULATED_DEVICES of them, and matrix products in plain loops with sums in F32.
#include <algorithm>
#include <cstdio>

#include "cuda/cublas.h"
#include "cuda/driver.h"
#include "library_types.h"

#include "core/dtype.h"

namespace bitwright::cuda {

struct cublasContext {
  cudaStream_t stream = nullptr;
};

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

int gemm_ex(CublasHandle handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int a_type, int lda, const void* B, int b_type, int ldb, const void* beta, void* C, int c_type, int ldc,
            int compute, int) {
  // The combinations that cuBLAS knows of those that are asked for; leading dimensions as it demands them.
  const bool is_double = a_type == CUDA_R_64F && b_type == CUDA_R_64F && c_type == CUDA_R_64F && compute == cublas_value::compute_f64;
  const bool is_float = a_type == CUDA_R_32F && b_type == CUDA_R_32F && c_type == CUDA_R_32F && compute == cublas_value::compute_f32_pedantic;
  const bool is_bf16 = a_type == CUDA_R_16BF && b_type == CUDA_R_16BF && c_type == CUDA_R_32F && compute == cublas_value::compute_f32 && emulation::capability() >= 80;
  const bool fits = lda >= (ta == cublas_value::transposed ? k : m) && ldb >= (tb == cublas_value::transposed ? n : k) && ldc >= m && m > 0 && n > 0 && k > 0;
  if (!fits || !(is_double || is_float || is_bf16)) return 7;
  const auto put = [&](auto factor, auto* result) {
    using Real = std::remove_reference_t<decltype(*result)>;
    // The factors are the host's, and read at the call.
    const Real by = *static_cast<const Real*>(factor), keep = *static_cast<const Real*>(beta);
    emulation::enqueue(handle->stream, false, [=] { multiply<Real>(ta, tb, m, n, k, by, A, a_type, lda, B, b_type, ldb, keep, result, ldc); });
  };
  if (is_double) put(alpha, static_cast<double*>(C));
  else put(alpha, static_cast<float*>(C));
  return cublas_value::success;
}

}  // namespace

const Cublas* load_cublas(Status&) {
  static const Cublas functions = [] {
    Cublas all;
    all.create = [](CublasHandle* handle) {
      *handle = new cublasContext;
      return cublas_value::success;
    };
    all.destroy = [](CublasHandle handle) {
      delete handle;
      return cublas_value::success;
    };
    all.set_stream = [](CublasHandle handle, cudaStream_t stream) {
      handle->stream = stream;
      return cublas_value::success;
    };
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
  std::snprintf(info.compute_capability, sizeof info.compute_capability, "%d.%d", emulation::capability() / 10, emulation::capability() % 10);
  info.usable = index >= 0 && index < emulation::n_devices();
}

}  // namespace bitwright::cuda
