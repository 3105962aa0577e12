// Packing on a CUDA device: see pack-int32.cc. One thread per word, or per code; the bits are those of bit-stream.h.
#include "cuda/launch.cuh"
#include "cuda/operations.h"
#include "formats/bit-stream.h"
#include "formats/kernels.h"

namespace bitwright::cuda {
namespace {

void pack_int32(Context& context, const Views& in, const Views& out, const Options& options) {
  const int num_bits = static_cast<int>(options.integer("num_bits"));
  const bool along_columns = options.integer("axis") == 1;
  const int64_t rows = in[0].extent(0), columns = in[0].extent(1), width = out[0].extent(1);
  const int8_t* codes = in[0].as<int8_t>();
  uint32_t* words = out[0].as<uint32_t>();
  for_rows(context, out[0].extent(0), width, [=] __device__(int64_t row, int64_t column) {
    words[row * width + column] = along_columns ? packed_word(codes + row * columns, 1, columns, num_bits, column) : packed_word(codes + column, columns, rows, num_bits, row);
  });
}

void unpack_int32(Context& context, const Views& in, const Views& out, const Options& options) {
  const int num_bits = static_cast<int>(options.integer("num_bits"));
  const bool along_columns = options.integer("axis") == 1;
  const int64_t columns = out[0].extent(1), width = in[0].extent(1);
  const uint32_t* words = in[0].as<uint32_t>();
  int8_t* codes = out[0].as<int8_t>();
  for_rows(context, out[0].extent(0), columns, [=] __device__(int64_t row, int64_t column) {
    codes[row * columns + column] = along_columns ? unpacked_code(words + row * width, 1, num_bits, column) : unpacked_code(words + column, width, num_bits, row);
  });
}

}  // namespace

KernelList format_kernels() {
  return {{"pack_int32", pack_int32}, {"unpack_int32", unpack_int32}, {"pack_fp4", pack_fp4}, {"unpack_fp4", unpack_fp4}, {"e8m0_codes", e8m0_codes}, {"e8m0_scales", e8m0_scales},
          {"blockwise_codes", blockwise_codes}, {"blockwise_values", blockwise_values}, {"center", center}, {"pack_nibbles", pack_nibbles}, {"unpack_nibbles", unpack_nibbles},
          {"gguf_encode", gguf_encode}, {"gguf_decode", gguf_decode}, {"vptq_pack", vptq_pack}, {"vptq_values", vptq_values}};
}

}  // namespace bitwright::cuda
