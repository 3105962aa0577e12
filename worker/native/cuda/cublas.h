// cuBLAS, loaded when a CUDA device is asked for. Its few functions are declared here by hand, so that the build needs no header of it;
// cublas-check.cc compares them with the real one where it is there.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

#include "core/status.h"

namespace bitwright::cuda {

using CublasHandle = struct cublasContext*;

namespace cublas_value {
inline constexpr int success = 0, not_transposed = 0, transposed = 1, default_algorithm = -1;
inline constexpr int compute_f32 = 68, compute_f32_pedantic = 69, compute_f64 = 70;
}  // namespace cublas_value

struct Cublas {
  int (*create)(CublasHandle*) = nullptr;
  int (*destroy)(CublasHandle) = nullptr;
  int (*set_stream)(CublasHandle, cudaStream_t) = nullptr;
  int (*set_workspace)(CublasHandle, void*, size_t) = nullptr;
  int (*get_version)(CublasHandle, int*) = nullptr;
  int (*get_property)(int, int*) = nullptr;
  int (*gemm_ex)(CublasHandle, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*, int, int, int, int) = nullptr;
  /// The file that was loaded, and its version as text.
  std::string path, version;
};

/// Loaded once; later calls answer the same. nullptr: `status` says what was looked for.
const Cublas* load_cublas(Status& status);

}  // namespace bitwright::cuda
