// How kernels are started: one function over all elements, over all elements of rows, or a reduction by one block; and the sums of a block,
// in an order that the number of threads of the block alone decides, so that a result has the same bits in every run and on every device.
#pragma once
#include <type_traits>

#include "core/dtype.h"
#include "core/portable.h"
#include "cuda/context.h"

namespace bitwright::cuda {

inline constexpr int block_threads = 256;
inline constexpr int warp_threads = 32;

#ifdef __CUDACC__
/// Starts a kernel on the stream, with `shared_bytes` of shared memory beside what it declares.
template <class... Parameters>
void launch(Context& context, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  kernel<<<grid, block, shared_bytes, context.stream()>>>(arguments...);
}
/// The shared memory of a launch.
#define BITWRIGHT_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

template <class Fn>
__global__ void __launch_bounds__(block_threads) over_elements(int64_t n, Fn fn) {
  // Four elements per thread, so that several loads are on their way at once.
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * (4 * block_threads) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (begin + i * block_threads < n) fn(begin + i * block_threads);
}

/// fn(i) for i < n.
template <class Fn>
void for_each(Context& context, int64_t n, const Fn& fn) {
  if (n <= 0) return;
  launch(context, static_cast<unsigned>((n + 4 * block_threads - 1) / (4 * block_threads)), block_threads, 0, over_elements<Fn>, n, fn);
}

template <class Fn>
__global__ void __launch_bounds__(block_threads) over_row_elements(int64_t columns, Fn fn) {
  const int64_t row = blockIdx.x;
  for (int64_t column = static_cast<int64_t>(blockIdx.y) * block_threads + threadIdx.x; column < columns; column += static_cast<int64_t>(gridDim.y) * block_threads) fn(row, column);
}

/// fn(row, column) for all of rows × columns.
template <class Fn>
void for_rows(Context& context, int64_t rows, int64_t columns, const Fn& fn) {
  if (rows <= 0 || columns <= 0) return;
  const int64_t blocks = (columns + 4 * block_threads - 1) / (4 * block_threads);
  launch(context, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(blocks < 64 ? blocks : 64)), block_threads, 0, over_row_elements<Fn>, columns, fn);
}

/// Leaves word of a value that is wrong.
__device__ inline void report(FaultSlot* slot, int64_t place, uint32_t bits) { atomicMin(slot, static_cast<FaultSlot>(place) << 32 | bits); }

/// Sets a flag, 0 before, that other threads may set too.
__device__ inline void raise_flag(int32_t* flag) { atomicMax(flag, int32_t{1}); }

/// All threads of a block get `merge` over their values. `shared` holds one Value for each warp; the block has a multiple of 32 threads, at most 1024.
template <class Value, class Merge>
__device__ Value over_block(Value value, Value* shared, const Merge& merge) {
  const int n_warps = static_cast<int>(blockDim.x) / warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads, lane = static_cast<int>(threadIdx.x) % warp_threads;
  for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
    // A whole struct travels word by word.
    constexpr int n_words = static_cast<int>(sizeof(Value) / 4);
    static_assert(sizeof(Value) % 4 == 0);
    uint32_t own[n_words], other[n_words];
    memcpy(own, &value, sizeof(Value));
#pragma unroll
    for (int i = 0; i < n_words; ++i) other[i] = __shfl_xor_sync(0xffffffffu, own[i], distance);
    Value received;
    memcpy(&received, other, sizeof(Value));
    // Both sides merge in the order of their lanes, so that all lanes hold the same bits.
    value = (lane & distance) == 0 ? merge(value, received) : merge(received, value);
  }
  __syncthreads();
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  value = shared[0];
  for (int i = 1; i < n_warps; ++i) value = merge(value, shared[i]);
  return value;
}

struct Sum {
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

/// A tensor of any float type, read element by element.
struct AnyFloat {
  const void* data;
  DType dtype;
  explicit AnyFloat(const TensorView& view) : data(view.data), dtype(view.dtype) {}
  __device__ double precise(int64_t i) const { return dtype == DType::F64 ? static_cast<const double*>(data)[i] : value(i); }
  __device__ float value(int64_t i) const {
    switch (dtype) {
      case DType::F64: return static_cast<float>(static_cast<const double*>(data)[i]);
      case DType::F16: return f16_to_float(static_cast<const uint16_t*>(data)[i]);
      case DType::BF16: return bf16_to_float(static_cast<const uint16_t*>(data)[i]);
      default: return static_cast<const float*>(data)[i];
    }
  }
};

/// The tensor as F32: its own bytes, or a copy that is held here.
class FloatCopy {
 public:
  FloatCopy(Context& context, const TensorView& view);
  const float* data() const { return data_; }

 private:
  const float* data_;
  std::vector<Scratch<float>> copy_;
};

/// A permutation must name each of n columns once; what does not is told, and read as column 0 by `column_of`.
void check_permutation(Context& context, const TensorView& permutation, int64_t n);
/// A column → group table must name groups that exist.
void check_groups(Context& context, const TensorView& g_idx, int64_t n_columns, int64_t n_groups);

/// An index of a tensor that comes from outside, kept inside [0, n): what is outside is told by a check, and must not be read on the way there.
__device__ inline int64_t inside(int64_t index, int64_t n) { return index >= 0 && index < n ? index : 0; }

}  // namespace bitwright::cuda
