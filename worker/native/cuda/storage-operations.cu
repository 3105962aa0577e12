// Operations on storage on a CUDA device: cast, gather_columns, stack_rows; and the checks of index tensors that several operations share.
#include "cuda/launch.cuh"
#include "cuda/operations.h"

namespace bitwright::cuda {
namespace {

template <class Store>
void convert(Context& context, const TensorView& x, const Store& store) {
  const AnyFloat from(x);
  for_each(context, x.count(), [=] __device__(int64_t i) { store(i, from); });
}

struct ToFloat {
  float* to;
  __device__ void operator()(int64_t i, const AnyFloat& from) const { to[i] = from.value(i); }
};
struct ToDouble {
  double* to;
  __device__ void operator()(int64_t i, const AnyFloat& from) const { to[i] = from.precise(i); }
};
struct ToF16 {
  uint16_t* to;
  __device__ void operator()(int64_t i, const AnyFloat& from) const { to[i] = float_to_f16(from.value(i)); }
};
struct ToBF16 {
  uint16_t* to;
  __device__ void operator()(int64_t i, const AnyFloat& from) const { to[i] = float_to_bf16(from.value(i)); }
};

void cast(Context& context, const Views& in, const Views& out, const Options&) {
  const TensorView &x = in[0], &y = out[0];
  if (x.count() == 0) return;
  if (x.dtype == y.dtype) return check(cudaMemcpyAsync(y.data, x.data, static_cast<size_t>(x.bytes()), cudaMemcpyDeviceToDevice, context.stream()), "cudaMemcpyAsync");
  if (y.dtype == DType::F64) return convert(context, x, ToDouble{y.as<double>()});
  if (y.dtype == DType::F16) return convert(context, x, ToF16{y.as<uint16_t>()});
  if (y.dtype == DType::BF16) return convert(context, x, ToBF16{y.as<uint16_t>()});
  convert(context, x, ToFloat{y.as<float>()});
}

template <class Word>
void gather(Context& context, const TensorView& x, const int32_t* permutation, const TensorView& y) {
  const int64_t columns = x.extent(1);
  const Word* from = x.as<Word>();
  Word* to = y.as<Word>();
  for_rows(context, x.extent(0), columns, [=] __device__(int64_t row, int64_t column) { to[row * columns + column] = from[row * columns + inside(permutation[column], columns)]; });
}

void gather_columns(Context& context, const Views& in, const Views& out, const Options&) {
  const int64_t columns = in[0].extent(1);
  const int32_t* permutation = in[1].as<int32_t>();
  FaultSlot* slot = context.fault([](uint32_t, uint32_t column) { return "column " + std::to_string(static_cast<int32_t>(column)) + " does not exist"; });
  for_each(context, columns, [=] __device__(int64_t c) {
    if (permutation[c] < 0 || permutation[c] >= columns) report(slot, c, static_cast<uint32_t>(permutation[c]));
  });
  switch (size_of(in[0].dtype)) {
    case 8: return gather<uint64_t>(context, in[0], permutation, out[0]);
    case 4: return gather<uint32_t>(context, in[0], permutation, out[0]);
    case 2: return gather<uint16_t>(context, in[0], permutation, out[0]);
    default: return gather<uint8_t>(context, in[0], permutation, out[0]);
  }
}

void stack_rows(Context& context, const Views& in, const Views& out, const Options&) {
  char* to = out[0].as<char>();
  for (const TensorView& one : in) {
    if (one.bytes() > 0) check(cudaMemcpyAsync(to, one.data, static_cast<size_t>(one.bytes()), cudaMemcpyDeviceToDevice, context.stream()), "cudaMemcpyAsync");
    to += one.bytes();
  }
}

}  // namespace

FloatCopy::FloatCopy(Context& context, const TensorView& view) {
  if (view.dtype == DType::F32) {
    data_ = view.as<float>();
    return;
  }
  copy_.push_back(context.scratch<float>(view.count()));
  convert(context, view, ToFloat{copy_[0].data()});
  data_ = copy_[0].data();
}

void check_permutation(Context& context, const TensorView& permutation, int64_t n) {
  if (!permutation.present || n == 0) return;
  const int32_t* columns = permutation.as<int32_t>();
  // The first position that names each column.
  const Scratch<int32_t> first = context.scratch<int32_t>(n);
  int32_t* firsts = first.data();
  FaultSlot* slot = context.fault([n](uint32_t, uint32_t bits) {
    const int32_t column = static_cast<int32_t>(bits);
    return "the permutation of " + std::to_string(n) + " columns names column " + std::to_string(column) + (column < 0 || column >= n ? "" : " twice");
  });
  for_each(context, n, [=] __device__(int64_t i) { firsts[i] = INT32_MAX; });
  for_each(context, n, [=] __device__(int64_t i) {
    if (columns[i] >= 0 && columns[i] < n) atomicMin(&firsts[columns[i]], static_cast<int32_t>(i));
  });
  for_each(context, n, [=] __device__(int64_t i) {
    if (columns[i] < 0 || columns[i] >= n || firsts[columns[i]] != i) report(slot, i, static_cast<uint32_t>(columns[i]));
  });
}

void check_groups(Context& context, const TensorView& g_idx, int64_t n_columns, int64_t n_groups) {
  if (!g_idx.present) return;
  const int32_t* groups = g_idx.as<int32_t>();
  FaultSlot* slot = context.fault([n_groups](uint32_t column, uint32_t group) {
    return "column " + std::to_string(column) + " names group " + std::to_string(static_cast<int32_t>(group)) + " of " + std::to_string(n_groups);
  });
  for_each(context, n_columns, [=] __device__(int64_t c) {
    if (groups[c] < 0 || groups[c] >= n_groups) report(slot, c, static_cast<uint32_t>(groups[c]));
  });
}

void fill_with_noise(Context& context, DType type, void* to, int64_t count) {
  // A hash of the index, spread over (-1, 1).
  const auto noise = [] __device__(int64_t i) {
    uint32_t hash = static_cast<uint32_t>(i) * 2654435761u;
    hash = (hash ^ (hash >> 15)) * 2246822519u;
    hash ^= hash >> 13;
    return static_cast<float>(static_cast<int32_t>(hash)) * 4.656612873e-10f;
  };
  if (type == DType::BF16) for_each(context, count, [=] __device__(int64_t i) { static_cast<uint16_t*>(to)[i] = float_to_bf16(noise(i)); });
  else for_each(context, count, [=] __device__(int64_t i) { static_cast<float*>(to)[i] = noise(i); });
}

KernelList storage_kernels() { return {{"cast", cast}, {"gather_columns", gather_columns}, {"stack_rows", stack_rows}}; }

}  // namespace bitwright::cuda
