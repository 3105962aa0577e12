// Causal grouped-query attention on a CUDA device: see attention.cc for the shapes. A block takes `n_queries` tokens of one head through the keys in
// tiles: scores, running maximum and sum, weighted values (Dao et al., arXiv 2205.14135, forward pass), all in F32 with fused multiply-adds.
// A block's tokens may belong to several documents; each row has its own first key. Queries that are given a range at a time, cut between blocks, have
// the same bits.
#include "cuda/launch.cuh"
#include "forward/kernels.h"
#include "forward/visible-keys.h"

namespace bitwright::cuda {
namespace {

/// Threads stand in a square of 16 × 16: 16 groups of rows, 16 groups of columns.
constexpr int side = 16;

/// width: head_dim rounded up to what the tiles are made for; columns behind head_dim are 0.
template <int n_queries, int n_keys, int width>
struct Tile {
  static constexpr int stride = width + 1;  // odd: no two rows begin in one bank
  static constexpr int rows = n_queries / side, keys = n_keys / side, columns = width / side;
  static constexpr int per_row = side * side / n_queries;  // threads for the maximum of a row
  static constexpr size_t bytes = sizeof(float) * (static_cast<size_t>(n_queries + n_keys) * stride + static_cast<size_t>(n_queries) * (n_keys + 1) + 2 * n_queries) + sizeof(int64_t) * n_queries;
};

template <int n_queries, int n_keys, int width>
__global__ void __launch_bounds__(side* side) attend(const float* q, const float* k, const float* v, const int32_t* offsets, float* y, Heads heads) {
  using Shape = Tile<n_queries, n_keys, width>;
  constexpr int stride = Shape::stride, score_stride = n_keys + 1;
  BITWRIGHT_DYNAMIC_SHARED(shared);
  int64_t* first_keys = reinterpret_cast<int64_t*>(shared);
  float* queries = reinterpret_cast<float*>(first_keys + n_queries);
  float* tile = queries + n_queries * stride;  // keys, then values
  float* scores = tile + n_keys * stride;
  float* factors = scores + n_queries * score_stride;  // what a row's sums so far are multiplied with
  float* totals = factors + n_queries;

  const int thread = static_cast<int>(threadIdx.x), row_group = thread / side, column_group = thread % side;
  const int64_t head = blockIdx.y, head_dim = heads.head_dim, q_width = heads.width(), kv_width = heads.kv_width();
  const int64_t kv_column = head / heads.group() * head_dim;
  // The last tokens have the most keys: they begin first.
  const int64_t first_query = heads.first_query + static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * n_queries;
  const int64_t last_query = (first_query + n_queries < heads.end_query ? first_query + n_queries : heads.end_query) - 1;
  // Of q and y, in rows.
  const int64_t first_row = first_query - heads.first_query;

  for (int i = thread; i < n_queries * width; i += side * side) {
    const int row = i / width, d = i % width;
    queries[row * stride + d] = first_query + row <= last_query && d < head_dim ? q[(first_row + row) * q_width + head * head_dim + d] : 0.0f;
  }
  if (thread < n_queries) {
    const int64_t token = first_query + thread <= last_query ? first_query + thread : last_query;
    first_keys[thread] = first_visible_key(token, document_begin(offsets, heads.n_documents, token), heads.window);
  }
  // Of the row that this thread helps to reduce.
  float peak = -INFINITY, total = 0;
  float sums[Shape::rows][Shape::columns] = {};
  __syncthreads();

  for (int64_t first_key = first_keys[0]; first_key <= last_query; first_key += n_keys) {
    auto load = [&](const float* from) {
      for (int i = thread; i < n_keys * width; i += side * side) {
        const int row = i / width, d = i % width;
        tile[row * stride + d] = first_key + row <= last_query && d < head_dim ? from[(first_key + row) * kv_width + kv_column + d] : 0.0f;
      }
    };
    load(k);
    __syncthreads();
    float products[Shape::rows][Shape::keys] = {};
    for (int d = 0; d < width; ++d) {
      float left[Shape::rows], right[Shape::keys];
#pragma unroll
      for (int i = 0; i < Shape::rows; ++i) left[i] = queries[(row_group * Shape::rows + i) * stride + d];
#pragma unroll
      for (int j = 0; j < Shape::keys; ++j) right[j] = tile[(column_group + j * side) * stride + d];
#pragma unroll
      for (int i = 0; i < Shape::rows; ++i)
#pragma unroll
        for (int j = 0; j < Shape::keys; ++j) products[i][j] = fmaf(left[i], right[j], products[i][j]);
    }
#pragma unroll
    for (int i = 0; i < Shape::rows; ++i)
#pragma unroll
      for (int j = 0; j < Shape::keys; ++j) {
        const int row = row_group * Shape::rows + i, column = column_group + j * side;
        const int64_t key = first_key + column;
        const bool is_seen = key >= first_keys[row] && key <= first_query + row && key <= last_query;
        scores[row * score_stride + column] = is_seen ? products[i][j] * heads.scale : -INFINITY;
      }
    __syncthreads();
    load(v);
    // Neighbouring threads share a row.
    {
      const int row = thread / Shape::per_row, part = thread % Shape::per_row;
      float* own = scores + row * score_stride;
      float tile_peak = -INFINITY;
      for (int j = part; j < n_keys; j += Shape::per_row) tile_peak = own[j] > tile_peak ? own[j] : tile_peak;
      for (int distance = Shape::per_row / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, tile_peak, distance);
        tile_peak = other > tile_peak ? other : tile_peak;
      }
      const float new_peak = tile_peak > peak ? tile_peak : peak;
      // A row that has seen nothing yet has no peak; a NaN is seen and stays.
      const float factor = peak == -INFINITY ? (new_peak == -INFINITY ? 1.0f : 0.0f) : expf(peak - new_peak);
      float sum = 0;
      for (int j = part; j < n_keys; j += Shape::per_row) {
        const float weight = own[j] == -INFINITY ? 0.0f : expf(own[j] - new_peak);
        own[j] = weight;
        sum += weight;
      }
      for (int distance = Shape::per_row / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      total = total * factor + sum;
      peak = new_peak;
      if (part == 0) factors[row] = factor;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Shape::rows; ++i) {
      const float factor = factors[row_group * Shape::rows + i];
#pragma unroll
      for (int c = 0; c < Shape::columns; ++c) sums[i][c] *= factor;
    }
    for (int key = 0; key < n_keys; ++key) {
      float weights[Shape::rows], values[Shape::columns];
#pragma unroll
      for (int i = 0; i < Shape::rows; ++i) weights[i] = scores[(row_group * Shape::rows + i) * score_stride + key];
#pragma unroll
      for (int c = 0; c < Shape::columns; ++c) values[c] = tile[key * stride + column_group + c * side];
#pragma unroll
      for (int i = 0; i < Shape::rows; ++i)
#pragma unroll
        for (int c = 0; c < Shape::columns; ++c) sums[i][c] = fmaf(weights[i], values[c], sums[i][c]);
    }
    __syncthreads();
  }
  if (thread % Shape::per_row == 0) totals[thread / Shape::per_row] = total;
  __syncthreads();
  for (int i = 0; i < Shape::rows; ++i) {
    const int row = row_group * Shape::rows + i;
    if (first_query + row > last_query) break;
    for (int c = 0; c < Shape::columns; ++c) {
      const int d = column_group + c * side;
      if (d < head_dim) y[(first_row + row) * q_width + head * head_dim + d] = sums[i][c] / totals[row];
    }
  }
}

template <int n_queries, int n_keys, int width>
void start(Context& context, const Views& in, float* y, const Heads& heads) {
  constexpr size_t bytes = Tile<n_queries, n_keys, width>::bytes;
  // More than 48 KB must be asked for; 64 KB is what every device from 7.5 on has.
  static_assert(bytes <= 64 << 10);
  check(cudaFuncSetAttribute(attend<n_queries, n_keys, width>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>((heads.end_query - heads.first_query + n_queries - 1) / n_queries), static_cast<unsigned>(heads.n_heads));
  launch(context, grid, side * side, bytes, attend<n_queries, n_keys, width>, in[0].as<float>(), in[1].as<float>(), in[2].as<float>(), in[3].as<int32_t>(), y,
         heads);
}

}  // namespace

Heads checked_heads(Context& context, const Views& in, const Options& options) {
  const Heads heads = Heads::from(in, options);
  if (heads.n_heads > 65535) throw Failure{std::to_string(heads.n_heads) + " heads are more than the CUDA backend takes, 65535"};
  const int64_t T = heads.T, n_documents = heads.n_documents;
  const int32_t* offsets = in[3].as<int32_t>();
  FaultSlot* slot = context.fault([T](uint32_t place, uint32_t) {
    return place == 0 ? "the document offsets do not cover the " + std::to_string(T) + " tokens" : "document " + std::to_string(place - 1) + " ends before it begins";
  });
  for_each(context, n_documents + 1, [=] __device__(int64_t d) {
    if (d == 0 && (offsets[0] != 0 || offsets[n_documents] != T)) report(slot, 0, 0);
    if (d < n_documents && offsets[d + 1] < offsets[d]) report(slot, d + 1, 0);
  });
  return heads;
}

void attention(Context& context, const Views& in, const Views& out, const Options& options) {
  const Heads heads = checked_heads(context, in, options);
  if (heads.first_query == heads.end_query || heads.n_documents < 1) return;
  float* y = out[0].as<float>();
  if (heads.head_dim <= 16) return start<64, 32, 16>(context, in, y, heads);
  if (heads.head_dim <= 32) return start<64, 32, 32>(context, in, y, heads);
  if (heads.head_dim <= 64) return start<64, 32, 64>(context, in, y, heads);
  if (heads.head_dim <= 96) return start<64, 32, 96>(context, in, y, heads);
  if (heads.head_dim <= 128) return start<64, 32, 128>(context, in, y, heads);
  if (heads.head_dim <= 256) return start<32, 16, 256>(context, in, y, heads);
  throw Failure{"attention with heads of " + std::to_string(heads.head_dim) + " columns is wider than the CUDA backend takes, 256"};
}

}  // namespace bitwright::cuda
