// NVFP4's two levels of scales (strategy tensor_group): an E4M3 scale for each group and one F32 number for the tensor, which linears fused by servers share.
//
//   G = rd(rd(1 / largest) · 448 · 6)    largest magnitude over all tensors that share G; 1 where that is infinite. PyTorch divides a number by a tensor so
//   scale = E4M3(clamp(G · rd(a / 6)))   a the largest magnitude of the group; the product in F32; 0 becomes 0.125
//   a weight is divided by scale / G, in F32
//
// G multiplies: readers divide by it. rd rounds to the dtype of the weight. 4 + 8 / 16 = 4.5 bits per weight, and 32 bits for G.
// Source: compressed-tensors 0.18, generate_gparam and calculate_qparams; llm-compressor 0.13, observers/base.py. Cost: O · I / 16.
#include "quantizers/grid.h"
#include "quantizers/quantizers.h"

namespace bitwright {

Operation global_scale_operation() {
  return {"global_scale",
          [](const Specs& in, const Options& options, Specs& out) {
            DType dtype;
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].count() != 1) return mismatch("the largest magnitude F32 [1]", in);
            if (!dtype_from_name(options.text("dtype"), dtype) || !is_weight(dtype)) return Status::error("dtype " + options.text("dtype") + " is none of BF16, F16, F32");
            out = {{DType::F32, {1}}};
            return Status::fine();
          },
          [](RunContext&, const Views& in, const Views& out, const Options& options) {
            DType dtype = DType::F32;
            (void)dtype_from_name(options.text("dtype"), dtype);
            const float largest = in[0].as<float>()[0];
            if (!std::isfinite(largest)) return Status::error("the largest magnitude is " + std::to_string(largest));
            out[0].as<float>()[0] = with_weight_type(dtype, [&](auto type) {
              using T = decltype(type);
              return global_scale_of<T>(rounded_to<T>(largest));
            });
            return Status::fine();
          }};
}

Operation tensor_group_scales_operation() {
  return {"tensor_group_scales",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || !is_weight(in[0].dtype) || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].count() != 1)
              return mismatch("largest magnitudes [O, G] in BF16, F16 or F32 and a global scale F32 [1]", in);
            out = {{DType::F8_E4M3, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const float G = in[1].as<float>()[0];
            with_weight_type(in[0].dtype, [&](auto type) {
              using T = decltype(type);
              context.pool.parallel_chunks(in[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i)
                  out[0].as<uint8_t>()[i] = e4m3_code(tensor_group_scale(G, rounded_to<T>(T::load(in[0].as<typename T::Stored>()[i]) / e2m1_max)));
              });
            });
            return Status::fine();
          }};
}

Operation effective_scales_operation() {
  return {"effective_scales",
          [](const Specs& in, const Options&, Specs& out) {
            if (in.size() != 2 || in[0].dtype != DType::F8_E4M3 || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].count() != 1)
              return mismatch("scales F8_E4M3 [O, G] and a global scale F32 [1]", in);
            out = {{DType::F32, in[0].shape}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options&) {
            const float G = in[1].as<float>()[0];
            context.pool.parallel_chunks(in[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) out[0].as<float>()[i] = e4m3_value(in[0].as<uint8_t>()[i]) / G;
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
