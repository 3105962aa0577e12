// VPTQ's storage on a CUDA device: see vptq.cc. One thread for each word, or each weight; the bits are those of vptq-stream.h.
#include "cuda/launch.cuh"
#include "formats/kernels.h"
#include "formats/vptq-stream.h"

namespace bitwright::cuda {
namespace {

template <class T>
void store_values(Context& context, const VptqLayout& s, const Views& in, const TensorView& result) {
  const VptqFile<T> file(s, in);
  const int64_t columns = s.columns;
  auto* weights = result.as<typename T::Stored>();
  FaultSlot* slot = context.fault([](uint32_t, uint32_t index) { return vptq_no_centroid(index); });
  for_rows(context, s.rows, columns, [=] __device__(int64_t row, int64_t p) {
    const int64_t column = inside(file.column_of(p), columns);
    float value = 0;
    const int64_t unknown = file.value(row, p, column, value);
    if (unknown < 0) weights[row * columns + column] = T::store(value);
    else report(slot, row, static_cast<uint32_t>(unknown));
  });
}

}  // namespace

void vptq_pack(Context& context, const Views& in, const Views& out, const Options& options) {
  const int64_t bits = options.integer("bits"), columns = in[0].extent(2), width = out[0].extent(2);
  const uint32_t* indices = in[0].as<uint32_t>();
  uint32_t* words = out[0].as<uint32_t>();
  for_rows(context, in[0].extent(0) * in[0].extent(1), width, [=] __device__(int64_t v, int64_t word) { words[v * width + word] = vptq_word(indices + v * columns, columns, bits, word); });
}

void vptq_values(Context& context, const Views& in, const Views& out, const Options& options) {
  VptqLayout s;
  (void)read_layout(Specs(in.begin(), in.end()), options, s);
  check_permutation(context, in[5], s.columns);
  with_weight_type(in[1].dtype, [&](auto type) { store_values<decltype(type)>(context, s, in, out[0]); });
}

}  // namespace bitwright::cuda
