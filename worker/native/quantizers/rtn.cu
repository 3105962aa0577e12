// Round to nearest on a CUDA device, its inverse, and the share of clipped weights: see rtn.cc. One thread per weight; the arithmetic is grid.h.
#include "cuda/launch.cuh"
#include "quantizers/grid.h"
#include "quantizers/kernels.h"

namespace bitwright::cuda {
namespace {

/// What all three read: the cell of a weight, its scale and zero point.
template <class T>
struct Scales {
  Cells cells;
  const typename T::Stored* scale;
  const int8_t* zero_point;
  const int32_t* g_idx;

  Scales(const Views& in, const Options& options) : scale(in[1].as<typename T::Stored>()), zero_point(in[2].present ? in[2].as<int8_t>() : nullptr), g_idx(ints_or_null(in[3])) {
    (void)Cells::from(options, in[0].shape, cells);
  }
  __device__ int64_t at(int64_t row, int64_t column) const {
    // Contiguous groups by a division of 32 bits: rows have far fewer columns, and one of 64 bits takes longer than the weight's way from memory.
    const int64_t group = g_idx != nullptr ? inside(g_idx[column], cells.n_groups) : static_cast<uint32_t>(column) / static_cast<uint32_t>(cells.group_size);
    return cells.index(row, group);
  }
  __device__ float scale_at(int64_t index) const { return T::load(scale[index]); }
  __device__ float zero_point_at(int64_t index) const { return zero_point != nullptr ? static_cast<float>(zero_point[index]) : 0.0f; }
};

template <class W, class T, class Codes>
void quantize(Context& context, const Views& in, const Views& out, const Options& options, const Grid& grid) {
  const Scales<T> scales(in, options);
  const auto* w = in[0].as<typename W::Stored>();
  uint8_t* q = out[0].as<uint8_t>();
  const float qmin = grid.qmin(), qmax = grid.qmax();
  for_rows(context, scales.cells.rows, scales.cells.columns, [=] __device__(int64_t row, int64_t column) {
    const int64_t index = scales.at(row, column), i = row * scales.cells.columns + column;
    q[i] = Codes::code(code_of<T, Codes>(W::load(w[i]), scales.scale_at(index), scales.zero_point_at(index), qmin, qmax));
  });
}

template <class T, class Codes>
void restore(Context& context, const Views& in, const Views& out, const Options& options) {
  const Scales<T> scales(in, options);
  const uint8_t* q = in[0].as<uint8_t>();
  auto* w = out[0].as<typename T::Stored>();
  for_rows(context, scales.cells.rows, scales.cells.columns, [=] __device__(int64_t row, int64_t column) {
    const int64_t index = scales.at(row, column), i = row * scales.cells.columns + column;
    w[i] = T::store((Codes::value(q[i]) - scales.zero_point_at(index)) * scales.scale_at(index));
  });
}

template <class W, class T>
void count_clipped(Context& context, const Views& in, unsigned long long* n_clipped, const Options& options, const Grid& grid) {
  const Scales<T> scales(in, options);
  const auto* w = in[0].as<typename W::Stored>();
  // Half a step outside the last code is still rounded, not clipped.
  const float high = grid.outermost(), low = grid.outermost_below();
  for_rows(context, scales.cells.rows, scales.cells.columns, [=] __device__(int64_t row, int64_t column) {
    const int64_t index = scales.at(row, column);
    const float code = W::load(w[row * scales.cells.columns + column]) / scales.scale_at(index) + scales.zero_point_at(index);
    if (code < low || code > high) atomicAdd(n_clipped, 1ull);
  });
}

/// Calls fn with the types of weight and scale: one type, or F32 scales.
template <class Fn>
void over_types(const Views& in, const Fn& fn) {
  with_weight_type(in[0].dtype, [&](auto weight_type) {
    if (in[1].dtype == in[0].dtype) fn(weight_type, weight_type);
    else fn(weight_type, F32Type{});
  });
}

void check_table(Context& context, const Views& in, const Options& options) {
  Cells cells;
  (void)Cells::from(options, in[0].shape, cells);
  check_groups(context, in[3], cells.columns, cells.n_groups);
}

}  // namespace

void quantize_rtn(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  check_table(context, in, options);
  over_types(in, [&](auto weight_type, auto scale_type) {
    with_codes(grid, [&](auto codes) { quantize<decltype(weight_type), decltype(scale_type), decltype(codes)>(context, in, out, options, grid); });
  });
}

void dequantize(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  check_table(context, in, options);
  with_weight_type(in[1].dtype, [&](auto type) { with_codes(grid, [&](auto codes) { restore<decltype(type), decltype(codes)>(context, in, out, options); }); });
}

void clipped_share(Context& context, const Views& in, const Views& out, const Options& options) {
  Grid grid;
  (void)grid_from(options, grid);
  check_table(context, in, options);
  const Scratch<unsigned long long> n_clipped = context.scratch<unsigned long long>(1);
  context.clear(n_clipped.data(), sizeof(unsigned long long));
  over_types(in, [&](auto weight_type, auto scale_type) { count_clipped<decltype(weight_type), decltype(scale_type)>(context, in, n_clipped.data(), options, grid); });
  const unsigned long long* counted = n_clipped.data();
  double* share = out[0].as<double>();
  const int64_t count = in[0].count();
  for_each(context, 1, [=] __device__(int64_t) { share[0] = count == 0 ? 0.0 : static_cast<double>(*counted) / static_cast<double>(count); });
}

}  // namespace bitwright::cuda
