// GGUF blocks on a CUDA device: see k-quants.cc and gguf-search.h, whose steps are taken here side by side: 16 threads have a block, a sub-block's tries are shared
// between those that are left for it, then each thread takes one of the 15 steps. The bytes are those of the processor.
#include "cuda/launch.cuh"
#include "formats/gguf-search.h"
#include "formats/kernels.h"

namespace bitwright::cuda {
namespace {

constexpr int lanes = 16, blocks_at_once = 8, blocks_a_step = 1 << 16, most_weights = 256, most_subs = 16;
/// A sub-block's weights end one place before the next one's begin, so that threads of neighbouring sub-blocks read from different banks.
constexpr int most_places = most_weights + most_subs;

/// What the threads of a block share.
struct Shared {
  double w[most_places];
  GgufFit fits[most_subs], tried[lanes];
  GgufTrial trials[lanes];
  GgufBlock block;
  float x[most_places];
  int nth[lanes];
};

struct Encode {
  AnyFloat weight;
  const float* importance;
  uint8_t* bytes;
  FaultSlot *bad, *large;
  GgufLayout layout;
  GgufType type = GgufType::Q8_0;
  int64_t begin, n_blocks, per_row, columns;
};

__global__ void __launch_bounds__(lanes* blocks_at_once) encode_blocks(Encode encode) {
  BITWRIGHT_DYNAMIC_SHARED(memory);
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t nth_block = encode.begin + static_cast<int64_t>(blockIdx.x) * blocks_at_once + threadIdx.y;
  // Threads without a block do the work of the last one and write nothing.
  const bool is_real = nth_block < encode.n_blocks;
  const int64_t block = is_real ? nth_block : encode.n_blocks - 1, row = block / encode.per_row, first = block % encode.per_row * encode.layout.n_weights;
  const GgufLayout& layout = encode.layout;
  const int n = layout.n_weights, size = layout.sub_size, n_subs = layout.n_subs(), stride = size + 1;
  const auto place = [size, stride](int i) { return i / size * stride + i % size; };
  Shared& own = reinterpret_cast<Shared*>(memory)[threadIdx.y];

  for (int i = lane; i < n; i += lanes) {
    const float x = encode.weight.value(row * encode.columns + first + i);
    own.x[place(i)] = x;
    own.w[place(i)] = encode.importance != nullptr ? static_cast<double>(encode.importance[first + i]) : 0.0;
    if (!isfinite(x)) report(encode.bad, row, 0);
    if (static_cast<double>(fabsf(x)) > gguf_largest_weight(layout)) report(encode.large, row, 0);
  }
  __syncthreads();
  double mean = 0;
  if (encode.importance != nullptr)
    for (int i = 0; i < n; ++i) mean += own.w[place(i)] / n;
  __syncthreads();
  for (int i = lane; i < n; i += lanes) own.w[place(i)] = gguf_weight(own.w[place(i)], mean);
  __syncthreads();

  if (encode.type == GgufType::Q8_0) {
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = fmaxf(largest, fabsf(own.x[place(i)]));
    const float d = gguf_plain_scale(largest);
    if (lane == 0) own.block.d = float_to_f16(d);
    for (int i = lane; i < n; i += lanes) own.block.q[i] = gguf_plain_code(own.x[place(i)], d);
  } else {
    const int share = lanes / n_subs, sub = lane / share;
    {
      const float* x = own.x + sub * stride;
      const double* w = own.w + sub * stride;
      const GgufRange range = gguf_range(layout, x);
      GgufFit best = gguf_no_fit(layout, x, w);
      int best_nth = -1;
      for (int nth = lane % share; nth < gguf_tries(layout, range); nth += share)
        if (const GgufFit fit = gguf_fit(layout, x, w, range, nth); fit.error < best.error) {
          best = fit;
          best_nth = nth;
        }
      own.tried[lane] = best;
      own.nth[lane] = best_nth;
    }
    __syncthreads();
    if (lane % share == 0) {
      int best = lane;
      for (int other = lane + 1; other < lane + share; ++other) {
        const double error = own.tried[other].error, least = own.tried[best].error;
        if (error < least || (error == least && own.nth[other] < own.nth[best])) best = other;
      }
      own.fits[sub] = own.tried[best];
    }
    __syncthreads();
    const GgufLargest largest = gguf_largest(layout, own.fits);
    own.trials[lane] = lane < gguf_steps && (largest.a != 0 || largest.m != 0) ? gguf_trial(layout, own.fits, largest, own.x, own.w, stride, lane) : gguf_zero_trial(layout, own.x, own.w, stride);
    __syncthreads();
    int best = lanes - 1;  // the block of zeros
    for (int step = 0; step < gguf_steps; ++step)
      if (own.trials[step].error < own.trials[best].error) best = step;
    const GgufTrial trial = own.trials[best];
    const double d = gguf_of_half(trial.d), dmin = gguf_of_half(trial.dmin), first_d = gguf_of_half(trial.first_d), first_dmin = gguf_of_half(trial.first_dmin);
    if (lane == 0) {
      own.block.d = trial.d;
      own.block.dmin = trial.dmin;
    }
    if (lane < n_subs) {
      own.block.scale[lane] = gguf_scale_under(layout, first_d, own.fits[lane].a);
      own.block.min[lane] = gguf_min_under(layout, first_dmin, own.fits[lane].m);
    }
    __syncthreads();
    for (int i = lane; i < n; i += lanes) {
      const double a = d * own.block.scale[i / size], m = dmin * own.block.min[i / size];
      own.block.q[i] = gguf_code_of(layout, own.x[place(i)], a == 0 ? 0 : 1 / a, m);
    }
  }
  __syncthreads();
  if (!is_real) return;
  if (lane == 0 && (!isfinite(f16_to_float(own.block.d)) || (layout.has_min() && !isfinite(f16_to_float(own.block.dmin))))) report(encode.large, row, 0);
  for (int at = lane; at < layout.bytes; at += lanes) encode.bytes[block * layout.bytes + at] = gguf_byte(encode.type, own.block, at);
}

template <GgufType type>
void decode(Context& context, const GgufLayout& layout, const uint8_t* bytes, int64_t count, float* values) {
  // Powers of two, which a compiler that knows them divides by with a shift.
  constexpr int n_weights = type == GgufType::Q2_K || type == GgufType::Q3_K || type == GgufType::Q4_K || type == GgufType::Q5_K || type == GgufType::Q6_K ? 256 : 32;
  for_each(context, count, [=] __device__(int64_t i) {
    const uint8_t* block = bytes + i / n_weights * layout.bytes;
    const int within = static_cast<int>(i % n_weights), s = within / layout.sub_size;
    values[i] = gguf_value(layout, f16_to_float(gguf_d(type, block)), f16_to_float(gguf_dmin(type, block)), gguf_scale(type, block, s), gguf_min(type, block, s), gguf_code(type, block, within));
  });
}

}  // namespace

void gguf_encode(Context& context, const Views& in, const Views& out, const Options& options) {
  GgufType type = GgufType::Q8_0;
  const GgufLayout& layout = *gguf_layout(options.text("gguf_type"), type);
  const int64_t columns = in[0].extent(1), per_row = columns / layout.n_weights, n_blocks = in[0].extent(0) * per_row;
  const float* importance = in[1].present ? in[1].as<float>() : nullptr;
  if (importance != nullptr) {
    FaultSlot* odd = context.fault([](uint32_t column, uint32_t bits) { return "the importance of column " + std::to_string(column) + " is " + std::to_string(float_of(bits)); });
    for_each(context, columns, [=] __device__(int64_t column) {
      if (!(importance[column] >= 0 && isfinite(importance[column]))) report(odd, column, bits_of(importance[column]));
    });
  }
  if (n_blocks == 0) return;
  FaultSlot* bad = context.fault([](uint32_t row, uint32_t) { return "the weight has a value that is NaN or infinite in row " + std::to_string(row); });
  FaultSlot* large = context.fault([](uint32_t row, uint32_t) { return "a weight of row " + std::to_string(row) + " is too large for a scale in float16"; });
  Encode encode{AnyFloat(in[0]), importance, out[0].as<uint8_t>(), bad, large, layout, type, 0, n_blocks, per_row, columns};
  for (; encode.begin < n_blocks; encode.begin += blocks_a_step) {
    context.step();
    const int64_t count = std::min<int64_t>(blocks_a_step, n_blocks - encode.begin);
    launch(context, static_cast<unsigned>((count + blocks_at_once - 1) / blocks_at_once), dim3(lanes, blocks_at_once), blocks_at_once * sizeof(Shared), encode_blocks, encode);
  }
}

void gguf_decode(Context& context, const Views& in, const Views& out, const Options& options) {
  GgufType type = GgufType::Q8_0;
  const GgufLayout& layout = *gguf_layout(options.text("gguf_type"), type);
  const uint8_t* bytes = in[0].as<uint8_t>();
  const int64_t count = out[0].count();
  float* values = out[0].as<float>();
  switch (type) {
    case GgufType::Q8_0: return decode<GgufType::Q8_0>(context, layout, bytes, count, values);
    case GgufType::Q4_0: return decode<GgufType::Q4_0>(context, layout, bytes, count, values);
    case GgufType::Q4_1: return decode<GgufType::Q4_1>(context, layout, bytes, count, values);
    case GgufType::Q5_0: return decode<GgufType::Q5_0>(context, layout, bytes, count, values);
    case GgufType::Q5_1: return decode<GgufType::Q5_1>(context, layout, bytes, count, values);
    case GgufType::Q2_K: return decode<GgufType::Q2_K>(context, layout, bytes, count, values);
    case GgufType::Q3_K: return decode<GgufType::Q3_K>(context, layout, bytes, count, values);
    case GgufType::Q4_K: return decode<GgufType::Q4_K>(context, layout, bytes, count, values);
    case GgufType::Q5_K: return decode<GgufType::Q5_K>(context, layout, bytes, count, values);
    case GgufType::Q6_K: return decode<GgufType::Q6_K>(context, layout, bytes, count, values);
  }
}

}  // namespace bitwright::cuda
