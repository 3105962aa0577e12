// What a rotation of one axis is made of: which elements of a matrix are one vector. Read by the processor and by CUDA.
#pragma once
#include <cstdint>

#include "core/tensor-view.h"

namespace bitwright {

/// A matrix [rows, columns] (a vector has one column) whose axis 0 or 1 is cut into pieces of `size`; each piece of each line is one vector.
struct RotationShape {
  int64_t rows, columns, axis, size;
  RotationShape(const TensorSpec& x, int64_t axis, int64_t size) : rows(x.shape.empty() ? 0 : x.shape[0]), columns(x.shape.size() < 2 ? 1 : x.shape[1]), axis(axis), size(size) {}
  int64_t extent() const { return axis == 0 ? rows : columns; }
};

}  // namespace bitwright
