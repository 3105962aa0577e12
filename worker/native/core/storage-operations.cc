// Operations on storage: cast, reshape, narrow, gather_columns, stack_rows.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/convert.h"
#include "core/operations.h"

namespace bitwright {

void floats_of(const TensorView& x, int64_t begin, int64_t n, float* out) {
  if (x.dtype == DType::F32) std::memcpy(out, x.as<float>() + begin, static_cast<size_t>(n) * 4);
  else if (x.dtype == DType::BF16)
    for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_float(x.as<uint16_t>()[begin + i]);
  else
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(element_of(x, begin + i));
}

namespace {

constexpr int64_t grain = 1 << 16;

Operation cast_operation() {
  return {"cast",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1) return mismatch("one tensor", in);
            TensorSpec result = in[0];
            if (!is_float(in[0].dtype) || !dtype_from_name(options.text("dtype"), result.dtype) || !is_float(result.dtype))
              return mismatch("a float tensor and a float dtype (" + options.text("dtype") + ")", in);
            out = {result};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const TensorView &x = in[0], &y = out[0];
            context.pool.parallel_chunks(x.count(), grain, [&](int64_t begin, int64_t end) {
              if (x.dtype == y.dtype) {
                std::memcpy(y.as<char>() + begin * size_of(y.dtype), x.as<char>() + begin * size_of(x.dtype), static_cast<size_t>((end - begin) * size_of(x.dtype)));
                return;
              }
              if (y.dtype == DType::F32) return floats_of(x, begin, end - begin, y.as<float>() + begin);
              for (int64_t i = begin; i < end; ++i) {
                const double value = element_of(x, i);
                if (y.dtype == DType::F64) y.as<double>()[i] = value;
                else if (y.dtype == DType::F16) y.as<uint16_t>()[i] = float_to_f16(static_cast<float>(value));
                else y.as<uint16_t>()[i] = float_to_bf16(static_cast<float>(value));
              }
            });
            return Status::fine();
          }};
}

Operation reshape_operation() {
  return {"reshape",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 1) return mismatch("one tensor", in);
            TensorSpec result{in[0].dtype, {}};
            const std::string text = options.text("shape");
            for (const char* at = text.c_str(); *at != 0;) {
              char* next = nullptr;
              result.shape.push_back(std::strtoll(at, &next, 10));
              if (next == at || result.shape.back() < 0) return Status::error("the shape \"" + text + "\" is not a list of extents");
              at = *next == ',' ? next + 1 : next;
            }
            if (result.count() != in[0].count()) return mismatch("as many elements as the new shape " + text_of(result.shape), in);
            out = {result};
            return Status::fine();
          },
          nullptr, [](const TensorSpec&, const Options&) -> int64_t { return 0; }};
}

Operation narrow_operation() {
  return {"narrow",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t start = options.integer("start"), length = options.integer("length");
            if (in.size() != 1) return mismatch("one tensor", in);
            TensorSpec result = in[0];
            if (result.shape.empty() || start < 0 || length < 0 || start + length > result.shape[0])
              return mismatch("rows " + std::to_string(start) + " to " + std::to_string(start + length) + " inside the leading dimension", in);
            result.shape[0] = length;
            out = {result};
            return Status::fine();
          },
          nullptr,
          [](const TensorSpec& input, const Options& options) {
            const int64_t rows = input.shape[0];
            return rows == 0 ? int64_t{0} : input.bytes() / rows * options.integer("start");
          }};
}

Operation gather_columns_operation() {
  return {"gather_columns",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || in[0].shape.size() != 2 || in[1].dtype != DType::I32 || in[1].count() != in[0].shape[1]) return mismatch("x [O, I] and permutation I32 [I]", in);
            out = {in[0]};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const int64_t columns = in[0].extent(1), size = size_of(in[0].dtype);
            const int32_t* permutation = in[1].as<int32_t>();
            for (int64_t c = 0; c < columns; ++c)
              if (permutation[c] < 0 || permutation[c] >= columns) return Status::error("column " + std::to_string(permutation[c]) + " does not exist");
            context.pool.parallel_chunks(in[0].extent(0), 64, [&](int64_t begin, int64_t end) {
              for (int64_t r = begin; r < end; ++r)
                for (int64_t c = 0; c < columns; ++c)
                  std::memcpy(out[0].as<char>() + (r * columns + c) * size, in[0].as<char>() + (r * columns + permutation[c]) * size, static_cast<size_t>(size));
            });
            return Status::fine();
          }};
}

Operation stack_rows_operation() {
  return {"stack_rows",
          [](const Specs& in, const Options&, Specs& out) {
            constexpr size_t most = 8;
            const std::string expected = "1 to " + std::to_string(most) + " tensors that differ in their leading dimension alone";
            if (in.empty() || in.size() > most || in[0].shape.empty()) return mismatch(expected, in);
            TensorSpec result = in[0];
            result.shape[0] = 0;
            for (const TensorSpec& one : in) {
              if (!one.present || one.dtype != result.dtype || one.shape.empty() || !std::equal(one.shape.begin() + 1, one.shape.end(), result.shape.begin() + 1, result.shape.end())) return mismatch(expected, in);
              result.shape[0] += one.shape[0];
            }
            out = {result};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options&) {
            char* to = out[0].as<char>();
            for (const TensorView& one : in) {
              if (one.bytes() > 0) std::memcpy(to, one.data, static_cast<size_t>(one.bytes()));
              to += one.bytes();
            }
            return Status::fine();
          }};
}

}  // namespace

OperationList storage_operations() { return {cast_operation(), reshape_operation(), narrow_operation(), gather_columns_operation(), stack_rows_operation()}; }

}  // namespace bitwright
