// Compares the hand-written prototypes of cublas.h with cuBLAS's own header; compiled only where that header is found (CMakeLists.txt). Holds no code.
#include <cublas_v2.h>

#include <type_traits>

#include "cuda/cublas.h"

namespace bitwright::cuda {

static_assert(std::is_same_v<CublasHandle, cublasHandle_t>);
static_assert(sizeof(cublasStatus_t) == sizeof(int) && sizeof(cublasOperation_t) == sizeof(int) && sizeof(cudaDataType) == sizeof(int) && sizeof(cublasComputeType_t) == sizeof(int) &&
              sizeof(cublasGemmAlgo_t) == sizeof(int) && sizeof(libraryPropertyType) == sizeof(int));
static_assert(CUBLAS_STATUS_SUCCESS == cublas_value::success && CUBLAS_OP_N == cublas_value::not_transposed && CUBLAS_OP_T == cublas_value::transposed);
static_assert(CUBLAS_GEMM_DEFAULT == cublas_value::default_algorithm && CUBLAS_COMPUTE_32F == cublas_value::compute_f32 && CUBLAS_COMPUTE_32F_PEDANTIC == cublas_value::compute_f32_pedantic &&
              CUBLAS_COMPUTE_64F == cublas_value::compute_f64);

/// The parameter types with enumerations as the int that they are passed as.
template <class T>
using Passed = std::conditional_t<std::is_enum_v<T>, int, T>;
template <class Function>
struct Plain;
template <class Result, class... Arguments>
struct Plain<Result (*)(Arguments...)> {
  using type = Passed<Result> (*)(Passed<Arguments>...);
};
template <class Ours, class Theirs>
inline constexpr bool same = std::is_same_v<Ours, typename Plain<Theirs>::type>;

static_assert(same<decltype(Cublas::create), decltype(&cublasCreate_v2)>);
static_assert(same<decltype(Cublas::destroy), decltype(&cublasDestroy_v2)>);
static_assert(same<decltype(Cublas::set_stream), decltype(&cublasSetStream_v2)>);
static_assert(same<decltype(Cublas::set_workspace), decltype(&cublasSetWorkspace_v2)>);
static_assert(same<decltype(Cublas::get_version), decltype(&cublasGetVersion_v2)>);
static_assert(same<decltype(Cublas::get_property), decltype(&cublasGetProperty)>);
using GemmEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*, const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                                  cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
// The real header has overloads of this name; the cast fails where none is this one.
static_assert(same<decltype(Cublas::gemm_ex), decltype(static_cast<GemmEx>(&cublasGemmEx))>);

}  // namespace bitwright::cuda
