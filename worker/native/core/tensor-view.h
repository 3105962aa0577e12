// A tensor as an operation sees it: bytes, dtype and shape. Contiguous, row-major, little-endian.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace bitwright {

using Shape = std::vector<int64_t>;

inline int64_t count_of(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

inline std::string text_of(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// What is known of a tensor before it has bytes. `present` is false for an optional input that was left out.
struct TensorSpec {
  DType dtype = DType::F32;
  Shape shape;
  bool present = true;
  int64_t count() const { return count_of(shape); }
  int64_t bytes() const { return count() * size_of(dtype); }
  std::string text() const { return present ? std::string(name_of(dtype)) + text_of(shape) : "none"; }
};

struct TensorView : TensorSpec {
  void* data = nullptr;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t extent(size_t axis) const { return axis < shape.size() ? shape[axis] : 1; }
  /// Elements of everything behind the leading dimension.
  int64_t row_size() const { return shape.empty() || shape[0] == 0 ? 0 : count() / shape[0]; }
};

}  // namespace bitwright
