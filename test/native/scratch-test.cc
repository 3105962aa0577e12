// What operations of a CUDA device take beside their inputs and results, from shapes alone: the figures that stand beside the kernels and in the estimate of a plan
// (server/src/plan/estimate-memory.ts), against what the device has given out at its most.
#include "runner.h"
#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

/// One row above a piece (core/split-bf16.h).
constexpr int64_t T = 4097, rows = 4096;
/// O is a multiple of the rows of a tile.
constexpr int64_t O = 96, I = 256, block = 128;

struct Figure {
  std::string operation;
  std::vector<Array> inputs;
  Options options;
  double bytes;
};

/// Before compute capability 8.0 a device has no products of BF16: a weight is copied as F32 instead of the input being split, and inputs of a Hessian are not split.
std::vector<Figure> figures(bool has_bf16) {
  const Array x = normal(DType::F32, {T, 128}, 1), few = tokens_of(I, 300, 3), H = gram(few, few), C = gram(normal(DType::F32, {300, I}, 4), few);
  const Array weight = normal(DType::BF16, {O, I}, 5, 0.1), plain = normal(DType::F32, {O, I}, 5, 0.1), square = array_of(DType::F32, {128, 128}, [](int64_t) { return 0.0; });
  const Options damping = options({{"dampening_frac", 0.01}}), channel = grid_options(4, false), mean = options({{"decay", 0.5}, {"weight", 1.0}});
  const Array R = run("gptq_factor", {H, none()}, damping, 1)[0], U = run("inverse_factor", {R}, {}, 1)[0];
  const std::vector<Array> scales = run("weight_scales", {plain, none()}, channel, 1);
  Options comq = channel, beacon = channel;
  comq.set("n_iters", 1.0);
  beacon.set("n_sweeps", 1.0);
  beacon.set("centering", false);
  const Options pruning = options({{"sparsity", 0.5}, {"mask_n", 0.0}, {"mask_m", 0.0}, {"block_size", 128.0}});
  const Array q = normal(DType::F32, {500, 16}, 7), gradient = normal(DType::F32, {T, 8}, 8);
  // 16384 cells of 16 columns; vectors of the k-means.
  const Array wide = normal(DType::BF16, {512, 512}, 9, 0.1), weights = array_of(DType::F32, {512}, [](int64_t i) { return 1.0 + static_cast<double>(i % 7); });
  const double cells = 512.0 * 512 / 16;
  const Options groups = grid_options(4, true, "group", 16), tensor = grid_options(8, true, "tensor", 0);
  const auto searched = [](Options grid) {
    for (const auto& [name, value] : {std::pair<const char*, double>{"maxshrink", 0.2}, {"patience", 5}, {"grid", 20}, {"norm", 2.4}}) grid.set(name, value);
    grid.set("observer", std::string("mse"));
    return grid;
  };
  const Array signs = array_of(DType::I8, {512}, [](int64_t i) { return i % 3 == 0 ? -1.0 : 1.0; }), factor = array_of(DType::I8, {1, 1}, [](int64_t) { return 1.0; }), turn = array_of(DType::F64, {2, 256, 256}, [](int64_t i) { return i % 257 == 0 ? 1.0 : 0.0; });
  const Options axis = options({{"axis", 1.0}, {"dtype", std::string("BF16")}});
  const Array tall = normal(DType::F32, {6 * rows, 4}, 10), codes = array_of(DType::I8, {512, 512}, [](int64_t i) { return static_cast<double>(i % 16) - 8; });
  const auto zeros = [](DType dtype, Shape shape) { return array_of(dtype, std::move(shape), [](int64_t) { return 0.0; }); };
  const auto vptq = [](double length, double count, double res_count) {
    return options({{"vector_len", length}, {"num_centroids", count}, {"num_res_centroids", res_count}, {"group_num", 1.0}, {"outlier_size", 0.0}, {"outlier_num_centroids", 1.0}, {"enable_norm", true}, {"stores_order", false}, {"kiter", 1.0}, {"ktol", 0.0}, {"kseed", 1.0}, {"block_size", 128.0}});
  };
  const double of_pairs = O * I / 2.0, of_eights = O * I / 8.0;
  return {
      {"linear", {x, normal(DType::BF16, {8, 128}, 2), none()}, {}, has_bf16 ? 6.0 * rows * 128 : 4.0 * 8 * 128},
      {"linear", {normal(DType::F32, {3, I}, 2), normal(DType::F16, {O, I}, 2), none()}, {}, 4.0 * O * I},
      {"linear_backward", {x, normal(DType::BF16, {128, 8}, 2)}, {}, has_bf16 ? 6.0 * rows * 128 : 4.0 * 128 * 8},
      {"hessian_accumulate", {square, x}, mean, 4.0 * 128 * 128 + (has_bf16 ? 4.0 * rows * 128 : 0)},
      {"cross_hessian_accumulate", {square, x, x}, mean, has_bf16 ? 8.0 * rows * 128 : 0},
      {"fisher_accumulate", {array_of(DType::F32, {8, 128}, [](int64_t) { return 0.0; }), gradient, x}, {}, 4.0 * 8 * 128},
      {"attention_backward", {q, q, q, ints({2}, {0, 500}), q}, options({{"n_heads", 4.0}, {"n_kv_heads", 4.0}, {"head_dim", 4.0}, {"scale", 0.5}, {"sliding_window", 0.0}}), 16.0 * 500 * 4},
      {"gptq_factor", {H, none()}, damping, 4.0 * I * I + 512.0 * I},
      {"inverse_factor", {R}, {}, 5.0 * I * I},
      {"hessian_error", {weight, weight, H}, {}, 12.0 * O * I},
      {"corrected_weight", {weight, H, C, U}, {}, 4.0 * I * I + 12.0 * O * I},
      {"quantize_gptq", {plain, R, scales[0], scales[1], none(), none(), none()}, channel, 4.0 * O * (I + block)},
      {"quantize_gpfq", {plain, H, C, scales[0], scales[1], none()}, channel, 9.0 * O * I + 4.0 * O * block},
      {"quantize_comq", {plain, H, scales[0], scales[1], none()}, comq, 17.0 * O * I + 4.0 * block * (O + I + block)},
      {"quantize_beacon", {plain, H, none(), scales[0], scales[1], none(), none()}, beacon, 17.0 * O * I + 8.0 * block * O + 4.0 * block * block},
      {"prune_sparsegpt", {plain, U, none(), none(), none(), none(), none(), none()}, pruning, 4.0 * O * I + 9.0 * block * O},
      {"low_rank_residual", {plain, weight, H}, options({{"rank", 24.0}, {"n_iterations", 1.0}}), 8.0 * O * I + 32 * (24.0 * O + 4.0 * I) + 24.0 * 32 * 32},
      {"weight_scales", {wide, none()}, groups, 24 * cells},
      {"weight_scales", {wide, none()}, searched(groups), 36 * cells},
      {"weight_scales", {wide, none()}, searched(tensor), 20.0 * 512},
      {"search_scales", {wide, none(), weights}, searched(groups), 36 * cells + 4.0 * 512},
      {"activation_ranges", {tall}, searched(tensor), 20.0 * 6 * rows},
      {"histogram_accumulate", {zeros(DType::I64, {8192}), zeros(DType::F64, {4}), tall}, {}, 8.0 * 8192},
      {"awq_weight_sum_accumulate", {zeros(DType::F64, {512}), wide}, groups, 4 * cells + 8.0 * 512},
      {"column_abs_sum_accumulate", {zeros(DType::F64, {128}), x}, {}, 8.0 * 9 * 128},
      {"squared_error_accumulate", {zeros(DType::F64, {1}), x, x}, {}, 0},
      {"cell_errors", {wide, wide, normal(DType::F32, {512, 512}, 14)}, groups, 0},
      {"clip_cells", {wide, array_of(DType::F32, {512, 32}, [](int64_t) { return 1.0; })}, groups, 4 * cells},
      {"hadamard_transform", {wide, none(), signs, factor}, axis, 16.0 * 512 * 512},
      {"rotate", {wide, none(), turn}, axis, 16.0 * 512 * 512},
      {"quantize_vptq", {plain, U, none(), none()}, vptq(2, 16, 0), 4.0 * O * I + 24 * of_pairs + 4.0 * 16 * of_pairs / 32},
      {"quantize_vptq", {plain, U, none(), none()}, vptq(2, 16, 4), 8.0 * O * I + 24 * of_pairs + 4.0 * 16 * of_pairs / 32},
      {"quantize_vptq", {plain, U, none(), none()}, vptq(8, 4, 4), 12.0 * O * I + 4 * of_eights + 4.0 * block * O + 16.0 * block * O / 4},
      {"pack_int32", {codes}, options({{"num_bits", 4.0}, {"axis", 1.0}}), 0},
      {"pack_nibbles", {array_of(DType::U8, {512 * 512}, [](int64_t i) { return static_cast<double>(i % 16); })}, {}, 0},
      {"gguf_encode", {wide, none()}, options({{"gguf_type", std::string("Q4_K")}}), 0},
      {"blockwise_codes", {wide, array_of(DType::F32, {16}, [](int64_t i) { return static_cast<double>(i) / 8 - 1; })}, options({{"blocksize", 64.0}, {"rows", 1.0}, {"columns", 1.0}, {"dtype", std::string("F32")}}), 0},
      {"vptq_pack", {ints({1, 256, 256}, std::vector<int32_t>(65536, 3))}, options({{"bits", 4.0}}), 0},
  };
}

/// What the device gave out at its most while the call ran, without what it held before and what stays.
int64_t taken_beside(bitwright::Device& device, const Figure& figure) {
  const auto idle = [&] {
    std::promise<Status> done;
    device.sync([&](Status status) { done.set_value(std::move(status)); });
    const Status status = done.get_future().get();
    expect(status.ok(), status.message);
  };
  std::vector<bitwright::Tensor> tensors, results;
  for (const Array& input : figure.inputs) tensors.push_back(input.spec.present ? device.from_bytes(input.spec, input.bytes.data()) : nullptr);
  idle();
  device.reset_peak();
  const int64_t before = device.peak_bytes();
  const Status asked = device.enqueue(figure.operation, tensors, figure.options, results);
  expect(asked.ok(), asked.message);
  idle();
  const int64_t most = device.peak_bytes();
  device.reset_peak();
  const int64_t stays = device.peak_bytes() - before;
  for (const std::vector<bitwright::Tensor>& some : {tensors, results})
    for (const bitwright::Tensor& tensor : some)
      if (tensor) device.release(tensor);
  idle();
  return most - before - stays;
}

const Case scratch_cases("scratch: operations of a CUDA device take what their figures say beside inputs and results", [] {
  const bitwright::BackendLibrary* library = running_library();
  if (library == nullptr) return;
  Status status;
  bitwright::Device device(library->open(0, status));
  for (const Figure& figure : figures(std::stod(library->devices()[0].compute_capability) >= 8)) {
    const int64_t taken = taken_beside(device, figure);
    // Numbers of each row and column are not counted, and a device gives out blocks of an eighth of a power of two.
    const double most = 1.125 * figure.bytes + 24e3;
    expect(static_cast<double>(taken) >= figure.bytes && static_cast<double>(taken) <= most, figure.operation + " took " + std::to_string(taken) + " bytes, its figure is " + std::to_string(static_cast<int64_t>(figure.bytes)));
  }
});

/// A long document goes through in pieces.
const Case piece_cases("scratch: rows above one piece are multiplied and summed like those below", [] {
  const Array x = normal(DType::F32, {T, 128}, 11), other = normal(DType::F32, {T, 128}, 12), weight = normal(DType::BF16, {3, 128}, 13);
  const Array y = run("linear", {x, weight, none()}, {}, 1)[0];
  std::vector<double> products(static_cast<size_t>(T * 3)), squares(128 * 128), crosses(128 * 128);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t o = 0; o < 3; ++o)
      for (int64_t i = 0; i < 128; ++i) products[static_cast<size_t>(t * 3 + o)] += x.at(t, i) * weight.at(o, i);
    for (int64_t a = 0; a < 128; ++a)
      for (int64_t b = 0; b < 128; ++b) {
        squares[static_cast<size_t>(a * 128 + b)] += x.at(t, a) * x.at(t, b);
        crosses[static_cast<size_t>(a * 128 + b)] += x.at(t, a) * other.at(t, b);
      }
  }
  expect_close(y, products, 1e-5);
  const Array zeros = array_of(DType::F32, {128, 128}, [](int64_t) { return 0.0; });
  const Options once = options({{"decay", 0.0}, {"weight", 1.0}});
  expect_close(run("hessian_accumulate", {zeros, x}, once, 1, 1)[0], squares, 1e-5);
  // Of the largest product of two columns the sum over all tokens of |x_a| |x_b| is some twenty times as much.
  expect_close(run("cross_hessian_accumulate", {zeros, x, other}, once, 1, 1)[0], crosses, 3.1e-5 * 20);
});

}  // namespace
