// Scale and zero point of static activations from a calibrated range. The arithmetic is quantizers/grid.h in the dtype of the model.
#include "observers/activation-scale.h"

#include "quantizers/grid.h"

namespace bitwright {

Operation activation_scale_operation() {
  return {"activation_scale",
          [](const Specs& in, const Options& options, Specs& out) {
            DType dtype;
            Grid grid;
            if (in.size() != 1 || in[0].dtype != DType::F32 || in[0].count() != 2) return mismatch("a range F32 [2]", in);
            if (!dtype_from_name(options.text("scale_dtype"), dtype) || !is_weight(dtype)) return Status::error("scale_dtype " + options.text("scale_dtype") + " is none of BF16, F16, F32");
            out = {{dtype, {1}}, {DType::I8, {1}}};
            return grid_from(options, grid);
          },
          [](RunContext&, const Views& in, const Views& out, const Options& options) {
            Grid grid;
            (void)grid_from(options, grid);
            const float mn = in[0].as<float>()[0], mx = in[0].as<float>()[1];
            if (!std::isfinite(mn) || !std::isfinite(mx)) return Status::error("the calibrated range is " + std::to_string(mn) + " to " + std::to_string(mx));
            with_weight_type(out[0].dtype, [&](auto type) {
              using T = decltype(type);
              const CellScale<T> cell = scale_of_range<T>(grid, rounded_to<T>(mn), rounded_to<T>(mx));
              out[0].as<typename T::Stored>()[0] = T::store(cell.scale);
              out[1].as<int8_t>()[0] = cell.zero_point;
            });
            return Status::fine();
          }};
}

}  // namespace bitwright
