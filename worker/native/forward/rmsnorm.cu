// Root-mean-square norm on a CUDA device: one block, or for narrow runs one warp, per run of `width` columns. The sum of squares is taken in double. See rmsnorm.cc.
#include "cuda/launch.cuh"
#include "forward/kernels.h"

namespace bitwright::cuda {
namespace {

__global__ void norm_runs(const float* x, AnyFloat weight, float* y, int64_t width, double eps) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t run = blockIdx.x;
  const float* from = x + run * width;
  double sum = 0;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) sum += static_cast<double>(from[c]) * from[c];
  sum = over_block(sum, shared, Sum{});
  const float scale = static_cast<float>(1.0 / sqrt(sum / static_cast<double>(width) + eps));
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) y[run * width + c] = from[c] * scale * weight.value(c);
}

__global__ void norm_runs_backward(const float* x, AnyFloat weight, const float* dy, float* dx, int64_t width, double eps) {
  __shared__ double shared[block_threads / warp_threads];
  const int64_t run = blockIdx.x;
  const float *from = x + run * width, *back = dy + run * width;
  double squares = 0, products = 0;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    squares += static_cast<double>(from[c]) * from[c];
    products += static_cast<double>(back[c]) * weight.value(c) * from[c];
  }
  squares = over_block(squares, shared, Sum{});
  products = over_block(products, shared, Sum{});
  const double r = 1.0 / sqrt(squares / static_cast<double>(width) + eps);
  const float scale = static_cast<float>(r), along = static_cast<float>(r * r * r / static_cast<double>(width) * products);
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) dx[run * width + c] = scale * weight.value(c) * back[c] - along * from[c];
}

/// A kernel over all runs of the first input; it takes the pointers, then width and eps.
template <class Kernel, class... Pointers>
void start(Context& context, const Views& in, const Options& options, Kernel kernel, const Pointers&... pointers) {
  const int64_t width = in[1].extent(0), n_runs = in[0].count() / width;
  const int threads = width >= 512 ? block_threads : width >= 128 ? 64 : warp_threads;
  if (n_runs > 0) launch(context, static_cast<unsigned>(n_runs), threads, 0, kernel, pointers..., width, options.number("eps"));
}

}  // namespace

void rmsnorm(Context& context, const Views& in, const Views& out, const Options& options) {
  start(context, in, options, norm_runs, in[0].as<float>(), AnyFloat(in[1]), out[0].as<float>());
}

void rmsnorm_backward(Context& context, const Views& in, const Views& out, const Options& options) {
  start(context, in, options, norm_runs_backward, in[0].as<float>(), AnyFloat(in[1]), in[2].as<float>(), out[0].as<float>());
}

}  // namespace bitwright::cuda
