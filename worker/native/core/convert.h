// Conversion of float tensors to float arrays, for operations that compute in F32 or F64 whatever the stored type.
#pragma once
#include <vector>

#include "core/dtype.h"
#include "core/tensor-view.h"

namespace bitwright {

/// Element i of a tensor of any float type.
inline double element_of(const TensorView& x, int64_t i) {
  switch (x.dtype) {
    case DType::F64: return x.as<double>()[i];
    case DType::F16: return f16_to_float(x.as<uint16_t>()[i]);
    case DType::BF16: return bf16_to_float(x.as<uint16_t>()[i]);
    default: return x.as<float>()[i];
  }
}

/// out[i] = x[begin + i] as float, i < n.
void floats_of(const TensorView& x, int64_t begin, int64_t n, float* out);

/// A view of F32 data: the tensor's own bytes when it is F32, else a copy held here.
class FloatView {
 public:
  explicit FloatView(const TensorView& x) {
    if (x.dtype == DType::F32) {
      data_ = x.as<float>();
      return;
    }
    copy_.resize(static_cast<size_t>(x.count()));
    floats_of(x, 0, x.count(), copy_.data());
    data_ = copy_.data();
  }
  const float* data() const { return data_; }

 private:
  std::vector<float> copy_;
  const float* data_ = nullptr;
};

}  // namespace bitwright
