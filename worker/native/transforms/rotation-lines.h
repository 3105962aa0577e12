// What rotations of weights on the processor have in common: what they ask of their tensors, and the walk over all vectors of an axis.
#pragma once
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/operations.h"
#include "transforms/rotation-shape.h"

namespace bitwright {

/// Vectors that are worked on together along axis 0.
inline constexpr int64_t lanes_of_tile = 16;

/// What both operations ask of the tensor, the gain and the options; `size` divides the axis.
inline Status check_rotated(const Specs& in, size_t gain, int64_t size, const Options& options, Specs& out) {
  const int64_t axis = options.integer("axis", -1);
  if (axis != 0 && axis != 1) return Status::error("axis is neither 0 nor 1");
  if (!is_weight(in[0].dtype) || in[0].shape.empty() || in[0].shape.size() > 2 || (axis == 1 && in[0].shape.size() != 2)) return mismatch("a matrix, or a vector with axis 0, of weights", in);
  const RotationShape shape(in[0], axis, size);
  if (size < 1 || shape.extent() % size != 0) return Status::error("an axis of " + std::to_string(shape.extent()) + " is not a multiple of the rotation's " + std::to_string(size));
  if (in[gain].present && (!is_float(in[gain].dtype) || in[gain].count() != shape.columns || axis != 1)) return mismatch("a gain of the number of columns, with axis 1", in);
  TensorSpec result = in[0];
  if (!dtype_from_name(options.text("dtype"), result.dtype) || !is_weight(result.dtype)) return Status::error("dtype " + options.text("dtype") + " is none of BF16, F16, F32");
  out = {result};
  return Status::fine();
}

/// Reads every vector of x, lets `turn(piece, vectors, lanes, work)` change it and stores it in y. Lines along the axis are taken 16 at a time.
template <class Turn>
void over_vectors(Pool& pool, const TensorView& x, const TensorView& gain, const TensorView& y, const RotationShape& shape, int64_t work_of_lane, const Turn& turn) {
  const auto [rows, columns, axis, size] = shape;
  const int64_t n_lines = axis == 0 ? columns : rows, n_pieces = shape.extent() / size;
  const int64_t line_stride = axis == 0 ? 1 : columns, step = axis == 0 ? columns : 1;
  pool.parallel_chunks(n_lines, lanes_of_tile, [&, size = size](int64_t first, int64_t end) {
    const int64_t lanes = end - first;
    std::vector<double> v(static_cast<size_t>(size * lanes)), work(static_cast<size_t>(work_of_lane * lanes));
    for (int64_t piece = 0; piece < n_pieces; ++piece) {
      const auto place = [&](int64_t i, int64_t lane) { return (first + lane) * line_stride + (piece * size + i) * step; };
      for (int64_t i = 0; i < size; ++i)
        for (int64_t lane = 0; lane < lanes; ++lane) v[static_cast<size_t>(i * lanes + lane)] = element_of(x, place(i, lane)) * (gain.present ? element_of(gain, piece * size + i) : 1.0);
      turn(piece, v.data(), lanes, work.data());
      with_weight_type(y.dtype, [&](auto type) {
        using T = decltype(type);
        auto* stored = y.as<typename T::Stored>();
        for (int64_t i = 0; i < size; ++i)
          for (int64_t lane = 0; lane < lanes; ++lane) stored[place(i, lane)] = T::store(static_cast<float>(v[static_cast<size_t>(i * lanes + lane)]));
      });
    }
  });
}

}  // namespace bitwright
