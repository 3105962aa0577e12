// The bench ladder of a backend library: what each operation takes, beside its floor on the same device in the same run. The floor of an operation is its bytes
// over the measured bandwidth of a copy, or its operations over the measured rate of matrix products, whichever is longer.
// Usage: cuda-ladder LIBRARY FILE [--small]. Writes FILE as JSON and prints a table; --small tries the program itself, its times mean nothing.
#include "bench/ladder.h"

namespace {

using namespace bitwright_bench;

double d(int64_t n) { return static_cast<double>(n); }

Options floats(double num_bits, const char* strategy, double group_size, bool mx = false) {
  return options({{"type", std::string("float")}, {"num_bits", num_bits}, {"symmetric", true}, {"strategy", std::string(strategy)}, {"group_size", group_size}, {"mx", mx}, {"observer", std::string("minmax")}});
}

/// FP8, NVFP4 and MX: inputs at run time, scales, codes, storage.
void climb_floats(Ladder& ladder, const Tensor& x, const Tensor& weight, int64_t T, int64_t I, int64_t O) {
  const double x_bytes = 4 * d(T) * d(I), w_bytes = 2 * d(O) * d(I);
  const float one = 1;
  const Tensor G = ladder.device().from_bytes({DType::F32, {1}}, &one);
  ladder.time("fake_quantize_dynamic", "FP8 per token, " + text(T, I), {x}, floats(8, "token", 0), 2 * x_bytes);
  ladder.time("fake_quantize_dynamic", "MXFP4, " + text(T, I), {x}, floats(4, "group", 32, true), 2 * x_bytes);
  ladder.time("fake_quantize_local", "NVFP4, " + text(T, I), {x, G}, floats(4, "tensor_group", 16), 2 * x_bytes);
  const Options fp8 = floats(8, "channel", 0), nvfp4 = floats(4, "tensor_group", 16);
  const std::vector<Tensor> scales = ladder.call("weight_scales", {weight, nullptr}, fp8), largest = ladder.call("weight_scales", {weight, nullptr}, nvfp4);
  ladder.time("weight_scales", "FP8 per row, " + text(O, I), {weight, nullptr}, fp8, w_bytes);
  ladder.time("weight_scales", "NVFP4, " + text(O, I), {weight, nullptr}, nvfp4, w_bytes * (1 + 1.0 / 16));
  ladder.time("quantize_rtn", "FP8 per row, " + text(O, I), {weight, scales[0], scales[1], nullptr}, fp8, 1.5 * w_bytes);
  const Tensor levels = ladder.call("tensor_group_scales", {largest[0], G}, {})[0];
  ladder.time("tensor_group_scales", text(O, I / 16), {largest[0], G}, {}, 3 * d(O) * d(I / 16));
  const Tensor effective = ladder.call("effective_scales", {levels, G}, {})[0];
  const Tensor codes = ladder.call("quantize_rtn", {weight, effective, largest[1], nullptr}, nvfp4)[0];
  ladder.time("quantize_rtn", "NVFP4, " + text(O, I), {weight, effective, largest[1], nullptr}, nvfp4, 1.5 * w_bytes + 5 * d(O) * d(I / 16));
  const Tensor packed = ladder.call("pack_fp4", {codes}, {})[0];
  ladder.time("pack_fp4", text(O, I), {codes}, {}, 0.75 * w_bytes);
  ladder.time("unpack_fp4", text(O, I), {packed}, {}, 0.75 * w_bytes);
}

/// Blocks of a codebook and of GGUF files. The search for the integers of Q4_K computes much more than it moves: of its floor, by bytes, it is far.
void climb_blocks(Ladder& ladder, const Tensor& weight, int64_t O, int64_t I) {
  constexpr int64_t blocksize = 64, n_codes = 16;
  const double n = d(O) * d(I), w_bytes = 2 * n, n_blocks = n / blocksize;
  std::vector<float> values;
  for (int64_t i = 0; i < n_codes; ++i) values.push_back(static_cast<float>(i) / 7.5f - 1);
  const Tensor codebook = ladder.device().from_bytes({DType::F32, {n_codes}}, values.data());
  const Options block = options({{"blocksize", d(blocksize)}, {"rows", d(O)}, {"columns", d(I)}, {"dtype", std::string("BF16")}});
  const std::vector<Tensor> coded = ladder.call("blockwise_codes", {weight, codebook}, block);
  ladder.time("blockwise_codes", "16 values, blocks of 64, " + text(O, I), {weight, codebook}, block, w_bytes + n + 4 * n_blocks);
  ladder.time("blockwise_values", "16 values, blocks of 64, " + text(O, I), {coded[0], coded[1], codebook, nullptr}, block, w_bytes + n + 4 * n_blocks);
  ladder.time("center", text(O, I / blocksize), {coded[1]}, {}, 12 * n_blocks);
  const Tensor packed = ladder.call("pack_nibbles", {coded[0]}, {})[0];
  ladder.time("pack_nibbles", text(O, I), {coded[0]}, {}, 1.5 * n);
  ladder.time("unpack_nibbles", text(O, I), {packed}, options({{"count", n}}), 1.5 * n);
  // Blocks have 256 weights; the small ladder's rows have fewer.
  const int64_t rows = ladder.is_small() ? 4 : O, columns = ladder.is_small() ? 256 : I;
  const Tensor whole = ladder.is_small() ? ladder.noise(DType::BF16, {rows, columns}, 0.02) : weight;
  const double count = d(rows) * d(columns);
  for (const auto& [type, bits] : {std::pair{"Q8_0", 8.5}, std::pair{"Q4_K", 4.5}}) {
    const Options kind = options({{"gguf_type", std::string(type)}});
    const Tensor blocks = ladder.call("gguf_encode", {whole, nullptr}, kind)[0];
    ladder.time("gguf_encode", std::string(type) + ", " + text(rows, columns), {whole, nullptr}, kind, count * (2 + bits / 8));
    ladder.time("gguf_decode", std::string(type) + ", " + text(rows, columns), {blocks}, kind, count * (4 + bits / 8));
  }
}

/// The search of AWQ, without the products of the parent.
void climb_awq(Ladder& ladder, const Tensor& x, const Tensor& weight, int64_t T, int64_t I, int64_t O, int64_t group) {
  const double x_bytes = 4 * d(T) * d(I), w_bytes = 2 * d(O) * d(I);
  const Tensor sums = ladder.zeros(DType::F64, {I}), total = ladder.zeros(DType::F64, {1}), s = ladder.noise(DType::F32, {I});
  ladder.time("column_abs_sum_accumulate", text(T, I), {sums, x}, {}, x_bytes);
  // Each weight is divided by the largest of its group: twice through the matrix where it does not stay in a cache.
  ladder.time("awq_weight_sum_accumulate", text(O, I), {sums, weight}, options({{"strategy", std::string("group")}, {"group_size", d(group)}}), w_bytes);
  ladder.time("multiply_columns", text(O, I), {weight, s}, {}, 2 * w_bytes);
  ladder.time("divide_columns", text(O, I), {weight, s}, {}, 2 * w_bytes);
  ladder.time("squared_error_accumulate", text(T, I), {total, x, x}, {}, 2 * x_bytes);
  ladder.time("stack_rows", "twice " + text(O, I), {weight, weight}, {}, 4 * w_bytes);
}

/// What stands beside the codes of a layer, and codebooks of vectors. A search adds three operations for every weight and centroid: one for each iteration of the k-means and its start, one for the walk.
void climb_beside(Ladder& ladder, const Tensor& weight, const Tensor& H, const Tensor& U, int64_t I, int64_t O) {
  const double w_bytes = 2 * d(O) * d(I);
  const int64_t rank = ladder.name("rank", ladder.is_small() ? 4 : 32), centroids = ladder.name("centroids", ladder.is_small() ? 16 : 256), length = ladder.name("vector_len", 4), iterations = ladder.name("kiter", 2);
  const Tensor read = ladder.noise(DType::BF16, {O, I}, 0.018);
  const double residual_operations = 2 * d(O) * d(I) * d(I) + 8 * 4 * d(O) * d(I) * d(rank + 8);
  ladder.time("low_rank_residual", "rank " + std::to_string(rank) + ", " + text(O, I), {weight, read, H}, options({{"rank", d(rank)}, {"n_iterations", 8.0}}), 2 * w_bytes, 0, residual_operations);
  const Options vectors = options({{"vector_len", d(length)}, {"num_centroids", d(centroids)}, {"num_res_centroids", 0.0}, {"outlier_size", 0.0}, {"enable_norm", true}, {"kiter", d(iterations)}, {"ktol", 0.0}, {"kseed", 7.0}, {"block_size", 128.0}});
  ladder.time("quantize_vptq", std::to_string(centroids) + " centroids of " + std::to_string(length) + ", " + std::to_string(iterations) + " iterations, " + text(O, I), {weight, U, nullptr, nullptr}, vectors, w_bytes, 0,
              3 * d(O) * d(I) * d(centroids) * d(iterations + 3) + d(O) * d(I) * d(I));
}

/// Solvers without a factor of their own, and error correction; `grid` has groups.
void climb_solvers(Ladder& ladder, const Tensor& x, const Tensor& weight, const Tensor& H, const Options& grid, int64_t T, int64_t I, int64_t O, int64_t group) {
  const double x_bytes = 4 * d(T) * d(I), w_bytes = 2 * d(O) * d(I), square = d(I) * d(I);
  const Tensor x_tilde = ladder.noise(DType::F32, {T, I}, 0.9), C = ladder.zeros(DType::F32, {I, I});
  ladder.time("cross_hessian_accumulate", text(T, I), {C, x, x_tilde}, options({{"decay", 0.0}, {"weight", 1.0}}), 2 * x_bytes, 2 * d(T) * square);
  const Tensor R = ladder.call("gptq_factor", {H, nullptr}, options({{"dampening_frac", 0.01}}))[0], U = ladder.call("inverse_factor", {R}, {})[0];
  climb_beside(ladder, weight, H, U, I, O);
  const Tensor corrected = ladder.call("corrected_weight", {weight, H, C, U}, {})[0];
  ladder.time("corrected_weight", text(O, I), {weight, H, C, U}, {}, 3 * w_bytes, 0, std::min(6 * square * d(O), 4 * square * d(I) + 2 * square * d(O)));
  const std::vector<Tensor> scales = ladder.call("weight_scales", {weight, nullptr}, grid);
  ladder.time("qronos_start", text(O, I), {weight, corrected, H, C, U, scales[0], scales[1], nullptr}, grid, 5 * w_bytes);
  ladder.time("quantize_gpfq", "4 bits, group " + std::to_string(group) + ", " + text(O, I), {weight, H, C, scales[0], scales[1], nullptr}, grid, 1.5 * w_bytes, 0, 2 * square * d(O));
  Options per_row = grid;
  per_row.set("strategy", std::string("channel"));
  per_row.set("n_iters", 1.0);
  const std::vector<Tensor> row_scales = ladder.call("weight_scales", {weight, nullptr}, per_row);
  ladder.time("quantize_comq", "4 bits per row, one pass, " + text(O, I), {weight, H, row_scales[0], row_scales[1], nullptr}, per_row, 1.5 * w_bytes, 0, 4 * square * d(O));
  Options sweeps = grid;
  sweeps.set("n_sweeps", 2.0);
  per_row.set("n_sweeps", 2.0);
  ladder.time("quantize_beacon", "4 bits per row, two sweeps, " + text(O, I), {weight, H, nullptr, row_scales[0], row_scales[1], nullptr, nullptr}, per_row, 1.5 * w_bytes, 0, 8 * square * d(O));
  ladder.time("quantize_beacon", "4 bits, group " + std::to_string(group) + ", two sweeps, " + text(O, I), {weight, H, R, scales[0], scales[1], nullptr, nullptr}, sweeps, 1.5 * w_bytes, 0, (16 * d(I) * d(group) + square) * d(O));
}

void climb(Ladder& ladder) {
  const int64_t T = ladder.name("T", ladder.size(8192)), I = ladder.name("I", ladder.size(4096)), O = ladder.name("O", ladder.size(14336)), V = ladder.name("V", ladder.size(128256));
  const int64_t group = ladder.name("group", ladder.is_small() ? 32 : 128);
  const Tensor x = ladder.noise(DType::F32, {T, I}), wide = ladder.noise(DType::F32, {T, O}), weight = ladder.noise(DType::BF16, {O, I}, 0.02), down = ladder.noise(DType::BF16, {I, O}, 0.02);
  const Tensor norm = ladder.noise(DType::BF16, {I});
  std::vector<int32_t> positions, ids;
  for (int64_t t = 0; t < T; ++t) {
    positions.push_back(static_cast<int32_t>(t % std::max<int64_t>(1, T / 4)));
    ids.push_back(static_cast<int32_t>(t * 7919 % V));
  }
  const int64_t head_dim = ladder.name("head_dim", ladder.is_small() ? 8 : 128), n_heads = ladder.name("n_heads", I / head_dim), n_kv_heads = ladder.name("n_kv_heads", n_heads / 4), length = ladder.name("length", T / 4);
  const Tensor k = ladder.noise(DType::F32, {T, n_kv_heads * head_dim}), v = ladder.noise(DType::F32, {T, n_kv_heads * head_dim});
  const Tensor cos = ladder.noise(DType::F32, {length, head_dim / 2}), sin = ladder.noise(DType::F32, {length, head_dim / 2}), at = ladder.ints(positions);
  const double x_bytes = 4 * d(T) * d(I), w_bytes = 2 * d(O) * d(I);

  ladder.time("cast", text(T, I) + " to BF16", {x}, options({{"dtype", std::string("BF16")}}), 1.5 * x_bytes);
  ladder.time("add", text(T, I), {x, x}, {}, 2 * x_bytes);
  ladder.time("silu_mul", text(T, O), {wide, wide}, {}, 8 * d(T) * d(O));
  ladder.time("rmsnorm", text(T, I), {x, norm}, options({{"eps", 1e-5}}), 2 * x_bytes);
  ladder.time("rope", text(T, I), {x, cos, sin, at}, options({{"head_dim", d(head_dim)}}), 2 * x_bytes);
  {
    const Tensor table = ladder.noise(DType::BF16, {V, I});
    ladder.time("embedding", text(T, I), {table, ladder.ints(ids)}, {}, 1.5 * x_bytes);
  }
  {
    const int64_t rows = T / 4;
    const Tensor logits = ladder.noise(DType::F32, {rows, V}), targets = ladder.ints({ids.begin(), ids.begin() + rows});
    ladder.time("cross_entropy", text(rows, V), {logits, targets}, {}, 4 * d(rows) * d(V));
  }
  // Half of the pairs of a document; the tensor cores' rate is what such products could run at.
  ladder.time("attention", std::to_string(T / length) + " × " + std::to_string(length) + ", " + std::to_string(n_heads) + " heads", {x, k, v, ladder.ints({0, static_cast<int32_t>(length), static_cast<int32_t>(2 * length), static_cast<int32_t>(3 * length), static_cast<int32_t>(T)})},
              options({{"n_heads", d(n_heads)}, {"n_kv_heads", d(n_kv_heads)}, {"head_dim", d(head_dim)}, {"scale", 0.088}, {"sliding_window", 0.0}}), 2.5 * x_bytes, 2 * d(T) * d(length) * d(I));
  ladder.time("linear", text(T, I) + " by BF16 " + text(O, I), {x, weight, nullptr}, {}, x_bytes + w_bytes, 2 * d(T) * d(I) * d(O));
  {
    const Tensor plain = ladder.noise(DType::F32, {O, I}, 0.02);
    ladder.time("linear", text(T, I) + " by F32 " + text(O, I), {x, plain, nullptr}, {}, x_bytes + 2 * w_bytes, 0, 2 * d(T) * d(I) * d(O));
  }
  const Options per_token = options({{"num_bits", 8.0}, {"symmetric", true}, {"strategy", std::string("token")}});
  ladder.time("fake_quantize_dynamic", text(T, I), {x}, per_token, 2 * x_bytes);
  ladder.time("column_range_accumulate", text(T, I), {ladder.zeros(DType::F32, {2, I}), x}, {}, x_bytes);
  ladder.time("range_accumulate", text(T, I), {ladder.zeros(DType::F32, {2}), x}, {}, x_bytes);
  const Tensor H = ladder.zeros(DType::F32, {I, I}), H_wide = ladder.zeros(DType::F32, {O, O});
  const Options one = options({{"decay", 0.0}, {"weight", 1.0}});
  ladder.time("hessian_accumulate", text(T, I), {H, x}, one, x_bytes, 2 * d(T) * d(I) * d(I));
  ladder.time("hessian_accumulate", text(T, O), {H_wide, wide}, one, 4 * d(T) * d(O), 2 * d(T) * d(O) * d(O));

  Options grid = options({{"num_bits", 4.0}, {"symmetric", true}, {"strategy", std::string("group")}, {"group_size", d(group)}, {"observer", std::string("minmax")}, {"block_size", 128.0}, {"maxshrink", 0.2}, {"patience", 5.0}, {"grid", 100.0}, {"norm", 2.4}});
  const std::vector<Tensor> scales = ladder.call("weight_scales", {weight, nullptr}, grid), down_scales = ladder.call("weight_scales", {down, nullptr}, grid);
  ladder.time("weight_scales", "minmax, " + text(O, I), {weight, nullptr}, grid, w_bytes);
  const Tensor codes = ladder.call("quantize_rtn", {weight, scales[0], scales[1], nullptr}, grid)[0];
  ladder.time("quantize_rtn", text(O, I), {weight, scales[0], scales[1], nullptr}, grid, 1.5 * w_bytes);
  ladder.time("dequantize", text(O, I), {codes, scales[0], scales[1], nullptr}, grid, 1.5 * w_bytes);
  ladder.time("clipped_share", text(O, I), {weight, scales[0], scales[1], nullptr}, grid, w_bytes);
  ladder.time("pack_int32", text(O, I) + ", 4 bits", {codes}, options({{"num_bits", 4.0}, {"axis", 1.0}}), 0.75 * w_bytes);
  climb_floats(ladder, x, weight, T, I, O);
  climb_blocks(ladder, weight, O, I);
  climb_awq(ladder, x, weight, T, I, O, group);
  ladder.time("compare", text(O, I), {weight, weight}, {}, 2 * w_bytes);
  ladder.time("summary", text(O, I), {weight}, {}, w_bytes);
  {
    Options search = grid;
    search.set("observer", std::string("mse"));
    ladder.time("weight_scales", "mse, " + text(O, I), {weight, nullptr}, search, w_bytes);
  }
  // A factor is ⅓ n³ operations, its inverse as many, the loop n² rows.
  const Options damping = options({{"dampening_frac", 0.01}});
  for (const auto& [hessian, matrix, scale, rows, n] : {std::tuple{H, weight, scales, O, I}, std::tuple{H_wide, down, down_scales, I, O}}) {
    const Tensor R = ladder.call("gptq_factor", {hessian, nullptr}, damping)[0];
    ladder.time("gptq_factor", std::to_string(n), {hessian, nullptr}, damping, 8 * d(n) * d(n), 0, 1.0 / 3 * d(n) * d(n) * d(n));
    ladder.time("inverse_factor", std::to_string(n), {R}, {}, 8 * d(n) * d(n), 0, 1.0 / 3 * d(n) * d(n) * d(n));
    ladder.time("quantize_gptq", "4 bits, group " + std::to_string(group) + ", " + text(rows, n), {matrix, R, scale[0], scale[1], nullptr, nullptr, nullptr}, grid, 3 * d(rows) * d(n), 0, d(rows) * d(n) * d(n));
  }
  climb_solvers(ladder, x, weight, H, grid, T, I, O, group);
}

}  // namespace

int main(int n_arguments, char** arguments) {
  if (n_arguments < 3) stop("usage: cuda-ladder LIBRARY FILE [--small]");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Ladder ladder(open_first(arguments[1]), n_arguments > 3 && std::strcmp(arguments[3], "--small") == 0);
  ladder.print_floors();
  ladder.keep_in(arguments[2]);
  climb(ladder);
  ladder.write(arguments[2]);
  return 0;
}
