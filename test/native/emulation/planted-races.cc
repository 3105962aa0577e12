// Kernels with and without races, for the test of races.cc: compiled as the kernels of the backend are where races are looked for.
#include "cuda_runtime_api.h"

namespace {

constexpr int n_threads = 64;
/// What is static here counts as the memory of a block.
float* const device_memory = static_cast<float*>(std::calloc(2 * n_threads, sizeof(float)));

/// Each thread takes what its neighbour wrote into shared memory.
void read_neighbour(bool has_barrier) {
  __shared__ float shared[n_threads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (has_barrier) __syncthreads();
  device_memory[blockIdx.x * n_threads / 2 + threadIdx.x] = shared[(threadIdx.x + 1) % n_threads];
}

/// The neighbour's place is written again while it may not have been read yet.
void write_behind_read() {
  __shared__ float shared[n_threads];
  shared[threadIdx.x] = 1;
  __syncthreads();
  const float other = shared[(threadIdx.x + 1) % n_threads];
  shared[threadIdx.x] = other + 1;
}

/// A warp's exchange of values is no barrier for memory.
void read_after_exchange() {
  __shared__ float shared[n_threads];
  shared[threadIdx.x] = 1;
  device_memory[threadIdx.x] = __shfl_xor_sync(~0u, shared[threadIdx.x], 1) + shared[threadIdx.x ^ 1];
}

void count(bool is_atomic) {
  if (is_atomic) atomicAdd(device_memory, 1.0f);
  else device_memory[0] += 1;
}

}  // namespace

/// Runs one of them, by number, on one block or on two.
extern "C" __attribute__((visibility("default"))) void bitwright_emulated_planted(int kernel) {
  const auto run = [](unsigned blocks, const std::function<void()>& thread) { emulation::run_grid(blocks, n_threads, 0, thread); };
  switch (kernel) {
    case 0: return run(1, [] { read_neighbour(true); });
    case 1: return run(1, [] { read_neighbour(false); });
    // Results of both blocks overlap by half.
    case 2: return run(2, [] { read_neighbour(true); });
    case 3: return run(1, write_behind_read);
    case 4: return run(1, read_after_exchange);
    case 5: return run(2, [] { count(true); });
    case 6: return run(2, [] { count(false); });
  }
}
