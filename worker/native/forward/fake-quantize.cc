// Quantize-dequantize of activations, so that a checkpoint with quantized inputs is evaluated as it will be served.
// Dynamic: the scale of every token, of every group of a token, or of the whole tensor from its own range. Local: NVFP4's scale of every group under a
// calibrated global scale. Static: a stored scale. The arithmetic is quantizers/grid.h in F32.
// A NaN has no code and stays NaN, so that what went wrong before is still seen behind.
#include "core/convert.h"
#include "forward/forward.h"
#include "quantizers/grid.h"

namespace bitwright {
namespace {

void quantize_run(const Grid& grid, float scale, float zero_point, const float* x, float* y, int64_t n) {
  const float qmin = grid.qmin(), qmax = grid.qmax();
  with_codes(grid, [&](auto codes) {
    using Codes = decltype(codes);
    for (int64_t i = 0; i < n; ++i) y[i] = std::isnan(x[i]) ? x[i] : (code_of<F32Type, Codes>(x[i], scale, zero_point, qmin, qmax) - zero_point) * scale;
  });
}

/// Columns that share a scale: all of a row, or group_size of them.
Status run_length(const Options& options, int64_t columns, int64_t& length) {
  length = columns;
  if (options.text("strategy") != "group" && options.text("strategy") != "tensor_group") return Status::fine();
  length = options.integer("group_size");
  if (length <= 0 || columns % length != 0) return Status::error("group_size " + std::to_string(length) + " does not divide " + std::to_string(columns) + " columns");
  return Status::fine();
}

void range_of(const float* x, int64_t n, float& mn, float& mx) {
  for (int64_t i = 0; i < n; ++i) {
    mn = x[i] < mn ? x[i] : mn;
    mx = x[i] > mx ? x[i] : mx;
  }
}

}  // namespace

Operation fake_quantize_dynamic_operation() {
  return {"fake_quantize_dynamic",
          [](const Specs& in, const Options& options, Specs& out) {
            Grid grid;
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].shape.size() != 2) return mismatch("x F32 [T, I]", in);
            const std::string strategy = options.text("strategy");
            if (strategy != "token" && strategy != "tensor" && strategy != "group") return Status::error("strategy " + strategy + " is none of token, tensor, group");
            int64_t length;
            if (Status status = run_length(options, in[0].shape[1], length); !status.ok()) return status;
            out = {in[0]};
            return grid_from(options, grid);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            (void)grid_from(options, grid);
            const int64_t T = in[0].extent(0), I = in[0].extent(1);
            const bool per_tensor = options.text("strategy") == "tensor";
            int64_t length = I;
            (void)run_length(options, I, length);
            float mn = 0, mx = 0;
            if (per_tensor) range_of(in[0].as<float>(), T * I, mn, mx);
            context.pool.parallel_chunks(T, 128, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin * I; i < end * I; i += length) {
                float low = mn, high = mx;
                if (!per_tensor) range_of(in[0].as<float>() + i, length, low, high);
                const CellScale<F32Type> cell = scale_of_range<F32Type>(grid, low, high);
                quantize_run(grid, cell.scale, cell.zero_point, in[0].as<float>() + i, out[0].as<float>() + i, length);
              }
            });
            return Status::fine();
          }};
}

Operation fake_quantize_local_operation() {
  return {"fake_quantize_local",
          [](const Specs& in, const Options& options, Specs& out) {
            if (in.size() != 2 || in[0].dtype != DType::F32 || in[0].shape.size() != 2 || in[1].dtype != DType::F32 || in[1].count() != 1) return mismatch("x F32 [T, I] and a global scale F32 [1]", in);
            Grid grid;
            int64_t length;
            if (Status status = grid_from(options, grid); !status.ok()) return status;
            if (!grid.is_float || grid.num_bits != 4) return Status::error("local scales are for floats of 4 bits");
            if (options.text("strategy") != "tensor_group") return Status::error("strategy " + options.text("strategy") + " is not tensor_group");
            out = {in[0]};
            return run_length(options, in[0].shape[1], length);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            (void)grid_from(options, grid);
            const int64_t T = in[0].extent(0), I = in[0].extent(1);
            int64_t length = I;
            (void)run_length(options, I, length);
            const float G = in[1].as<float>()[0];
            context.pool.parallel_chunks(T, 128, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin * I; i < end * I; i += length) {
                float low = 0, high = 0;
                range_of(in[0].as<float>() + i, length, low, high);
                quantize_run(grid, tensor_group_scale(G, std::max(-low, high) / e2m1_max) / G, 0, in[0].as<float>() + i, out[0].as<float>() + i, length);
              }
            });
            return Status::fine();
          }};
}

Operation fake_quantize_static_operation() {
  return {"fake_quantize_static",
          [](const Specs& in, const Options& options, Specs& out) {
            Grid grid;
            const bool fits = in.size() == 3 && in[0].dtype == DType::F32 && in[0].shape.size() == 2 && is_float(in[1].dtype) && in[1].count() == 1 &&
                              (!in[2].present || (in[2].dtype == DType::I8 && in[2].count() == 1));
            if (!fits) return mismatch("x F32 [T, I], scale [1] and zero_point I8 [1] or none", in);
            out = {in[0]};
            return grid_from(options, grid);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            (void)grid_from(options, grid);
            const float scale = static_cast<float>(element_of(in[1], 0)), zero_point = in[2].present ? static_cast<float>(in[2].as<int8_t>()[0]) : 0.0f;
            context.pool.parallel_chunks(in[0].count(), 1 << 15, [&](int64_t begin, int64_t end) {
              quantize_run(grid, scale, zero_point, in[0].as<float>() + begin, out[0].as<float>() + begin, end - begin);
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
