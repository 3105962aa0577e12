// Quantize-dequantize of activations, so that a checkpoint with quantized inputs is evaluated as it will be served.
// Dynamic: the scale of every token (or of the whole tensor) from its own range. Static: a stored scale. The arithmetic is quantizers/grid.h in F32.
// A NaN has no code and stays NaN, so that what went wrong before is still seen behind.
#include "core/convert.h"
#include "forward/forward.h"
#include "quantizers/grid.h"

namespace bitwright {
namespace {

void quantize_run(const Grid& grid, float scale, float zero_point, const float* x, float* y, int64_t n) {
  const float qmin = grid.qmin(), qmax = grid.qmax();
  for (int64_t i = 0; i < n; ++i) y[i] = std::isnan(x[i]) ? x[i] : (code_of<F32Type>(x[i], scale, zero_point, qmin, qmax) - zero_point) * scale;
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
            if (options.text("strategy") != "token" && options.text("strategy") != "tensor") return Status::error("strategy " + options.text("strategy") + " is neither token nor tensor");
            out = {in[0]};
            return grid_from(options, grid);
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            (void)grid_from(options, grid);
            const int64_t T = in[0].extent(0), I = in[0].extent(1);
            const bool per_token = options.text("strategy") == "token";
            float mn = 0, mx = 0;
            if (!per_token) range_of(in[0].as<float>(), T * I, mn, mx);
            context.pool.parallel_chunks(T, 128, [&](int64_t begin, int64_t end) {
              for (int64_t t = begin; t < end; ++t) {
                float low = mn, high = mx;
                if (per_token) range_of(in[0].as<float>() + t * I, I, low, high);
                const CellScale<F32Type> cell = scale_of_range<F32Type>(grid, low, high);
                quantize_run(grid, cell.scale, cell.zero_point, in[0].as<float>() + t * I, out[0].as<float>() + t * I, I);
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
