// compressed-tensors pack-quantized: signed codes of b bits become unsigned (plus 2^(b-1)) and lie densely in a stream of 32-bit words.
//
//   element i of a stream: see bit-stream.h; for b = 3, 5, 6, 7 a value may span two words
//   axis 1: one stream per row, [O, I] → [O, ⌈I · b / 32⌉]        weights; b bits per weight when 32 divides I · b
//   axis 0: one stream per column, [O, I] → [⌈O · b / 32⌉, I]     zero points
//
// Bits behind the last element are 0. Source: compressed-tensors 0.18, compressors/pack_quantized.
#include "core/operation.h"
#include "core/operations.h"
#include "formats/bit-stream.h"
#include "formats/formats.h"

namespace bitwright {
namespace {

void pack_stream(const int8_t* codes, int64_t stride, int64_t n, int num_bits, uint32_t* words, int64_t word_stride) {
  const int64_t n_words = words_for(n, num_bits);
  for (int64_t word = 0; word < n_words; ++word) words[word * word_stride] = packed_word(codes, stride, n, num_bits, word);
}

void unpack_stream(const uint32_t* words, int64_t word_stride, int64_t n, int num_bits, int8_t* codes, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) codes[i * stride] = unpacked_code(words, word_stride, num_bits, i);
}

Status check(const Options& options) {
  const int64_t num_bits = options.integer("num_bits"), axis = options.integer("axis", -1);
  if (num_bits < 1 || num_bits > 8) return Status::error("num_bits " + std::to_string(num_bits) + " is not between 1 and 8");
  if (axis != 0 && axis != 1) return Status::error("axis " + std::to_string(axis) + " is neither 0 nor 1");
  return Status::fine();
}

}  // namespace

Operation pack_int32_operation() {
  return {"pack_int32",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::I8 || in[0].shape.size() != 2) return mismatch("codes I8 [O, I]", in);
            if (Status status = check(options); !status.ok()) return status;
            const int num_bits = static_cast<int>(options.integer("num_bits"));
            out = {{DType::I32, options.integer("axis") == 1 ? Shape{in[0].shape[0], words_for(in[0].shape[1], num_bits)} : Shape{words_for(in[0].shape[0], num_bits), in[0].shape[1]}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int num_bits = static_cast<int>(options.integer("num_bits"));
            const int64_t rows = in[0].extent(0), columns = in[0].extent(1), words = out[0].extent(1);
            if (options.integer("axis") == 1)
              context.pool.parallel_chunks(rows, 64, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) pack_stream(in[0].as<int8_t>() + r * columns, 1, columns, num_bits, out[0].as<uint32_t>() + r * words, 1);
              });
            else
              for (int64_t c = 0; c < columns; ++c) pack_stream(in[0].as<int8_t>() + c, columns, rows, num_bits, out[0].as<uint32_t>() + c, columns);
            return Status::fine();
          }};
}

Operation unpack_int32_operation() {
  return {"unpack_int32",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1 || in[0].dtype != DType::I32 || in[0].shape.size() != 2) return mismatch("words I32", in);
            if (Status status = check(options); !status.ok()) return status;
            const int64_t rows = options.integer("rows"), columns = options.integer("columns");
            const int num_bits = static_cast<int>(options.integer("num_bits"));
            const Shape packed = options.integer("axis") == 1 ? Shape{rows, words_for(columns, num_bits)} : Shape{words_for(rows, num_bits), columns};
            if (packed != in[0].shape) return mismatch("words " + text_of(packed) + " for " + std::to_string(rows) + " × " + std::to_string(columns) + " codes", in);
            out = {{DType::I8, {rows, columns}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int num_bits = static_cast<int>(options.integer("num_bits"));
            const int64_t rows = out[0].extent(0), columns = out[0].extent(1), words = in[0].extent(1);
            if (options.integer("axis") == 1)
              context.pool.parallel_chunks(rows, 64, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) unpack_stream(in[0].as<uint32_t>() + r * words, 1, columns, num_bits, out[0].as<int8_t>() + r * columns, 1);
              });
            else
              for (int64_t c = 0; c < columns; ++c) unpack_stream(in[0].as<uint32_t>() + c, columns, rows, num_bits, out[0].as<int8_t>() + c, columns);
            return Status::fine();
          }};
}

}  // namespace bitwright
