// GPTQ of a 7B-shaped model on a device: four decoder blocks with random weights that are made on the device, 512 rows of 2048 tokens, W4A16 in groups of 128,
// and from them the time of all 32. A block is what the worker does with it: the rows pass through it while four Hessians are summed, its seven linears are
// quantized (those of one Hessian in one go) and their packed codes read back, the rows pass through it again as quantized.
// Not in it: files, the embedding, the head, an evaluation. Where the activations of 512 rows do not fit, fewer rows pass, and the passes are extrapolated too.
// Usage: cuda-blocks LIBRARY FILE [--small]. --small tries the program itself, its times mean nothing.
#include <cmath>
#include <map>
#include <random>
#include <utility>

#include "bench/ladder.h"

namespace {

using namespace bitwright_bench;

struct Sizes {
  int64_t hidden = 4096, intermediate = 11008, head_dim = 128, row = 2048, rows_per_batch = 4, n_batches = 128, n_blocks = 32, group = 128;
};

using Weights = std::map<std::string, Tensor>;

class Blocks {
 public:
  Blocks(std::unique_ptr<Backend> backend, bool is_small) : ladder_(std::move(backend), is_small) {
    if (is_small) sizes_ = {64, 176, 8, 16, 2, 2, 32, 16};
    ladder_.print_floors();
    const int64_t T = sizes_.row * sizes_.rows_per_batch, batch_bytes = T * sizes_.hidden * 4;
    // What a block needs beside its activations, with room to spare.
    const int64_t beside = is_small ? 1 << 20 : int64_t{8} << 30, free = device().room().free;
    n_batches_ = free < 0 ? sizes_.n_batches : std::clamp<int64_t>((free - beside) / batch_bytes, 1, sizes_.n_batches);
    std::vector<int32_t> positions, offsets;
    for (int64_t t = 0; t < T; ++t) positions.push_back(static_cast<int32_t>(t % sizes_.row));
    for (int64_t r = 0; r <= sizes_.rows_per_batch; ++r) offsets.push_back(static_cast<int32_t>(r * sizes_.row));
    positions_ = ladder_.ints(positions);
    offsets_ = ladder_.ints(offsets);
    cos_ = ladder_.noise(DType::F32, {sizes_.row, sizes_.head_dim / 2});
    sin_ = ladder_.noise(DType::F32, {sizes_.row, sizes_.head_dim / 2});
    norm_ = ladder_.noise(DType::BF16, {sizes_.hidden});
    const double deviation = 1.0 / std::sqrt(static_cast<double>(sizes_.hidden));
    square_ = ladder_.noise(DType::BF16, {sizes_.hidden, sizes_.hidden}, deviation);
    up_ = ladder_.noise(DType::BF16, {sizes_.intermediate, sizes_.hidden}, deviation);
    down_ = ladder_.noise(DType::BF16, {sizes_.hidden, sizes_.intermediate}, deviation);
    const Tensor rows = ladder_.noise(DType::F32, {T, sizes_.hidden});
    for (int64_t i = 0; i < n_batches_; ++i) batches_.push_back(shuffled(rows));
  }

  void run(const std::string& path) {
    constexpr int n_timed = 4;
    for (int i = 0; i < n_timed; ++i) {
      Weights weights;
      for (const auto& [name, matrix] : {std::pair{"q", square_}, {"k", square_}, {"v", square_}, {"o", square_}, {"gate", up_}, {"up", up_}, {"down", down_}}) weights[name] = shuffled(matrix);
      ladder_.settle();
      device().reset_peak();
      std::map<std::string, Tensor> hessians;
      for (const auto& [name, width] : {std::pair{"q", sizes_.hidden}, {"o", sizes_.hidden}, {"gate", sizes_.hidden}, {"down", sizes_.intermediate}}) hessians[name] = ladder_.zeros(DType::F32, {width, width});
      calibrate_ += seconds_of([&] {
        for (const Tensor& batch : batches_) device().release(forward(weights, batch, &hessians));
      });
      quantize_ += seconds_of([&] { weights = quantized(weights, hessians); });
      for (auto& [name, hessian] : hessians) device().release(std::move(hessian));
      pass_ += seconds_of([&] {
        for (Tensor& batch : batches_) device().release(std::exchange(batch, forward(weights, batch, nullptr)));
      });
      peak_ = std::max(peak_, device().peak_bytes());
      for (auto& [name, weight] : weights) device().release(std::move(weight));
      std::printf("block %d of %lld: %.2f s in all so far\n", i + 1, static_cast<long long>(sizes_.n_blocks), calibrate_ + quantize_ + pass_);
    }
    write(path, n_timed);
  }

 private:
  Device& device() { return ladder_.device(); }

  /// One result of an operation; what it was made of stays the caller's.
  Tensor one(const std::string& name, const std::vector<Tensor>& inputs, const Options& options = {}) {
    std::vector<Tensor> results = ladder_.call(name, inputs, options);
    for (size_t i = 1; i < results.size(); ++i) device().release(std::move(results[i]));
    return results[0];
  }

  /// The matrix with its columns in an order of chance: new values without a way through the host.
  Tensor shuffled(const Tensor& matrix) {
    std::vector<int32_t> order(static_cast<size_t>(matrix->spec.shape[1]));
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::shuffle(order.begin(), order.end(), chance_);
    Tensor columns = ladder_.ints(order), result = one("gather_columns", {matrix, columns});
    device().release(std::move(columns));
    return result;
  }

  template <class Fn>
  double seconds_of(const Fn& work) {
    ladder_.settle();
    const auto begin = std::chrono::steady_clock::now();
    work();
    ladder_.settle();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  Tensor forward(const Weights& weights, const Tensor& x, std::map<std::string, Tensor>* hessians) {
    const auto observe = [&](const char* name, const Tensor& input) {
      if (hessians != nullptr) ladder_.call("hessian_accumulate", {hessians->at(name), input}, options({{"decay", 1.0}, {"weight", 1.0}}));
    };
    const auto linear = [&](const char* name, const Tensor& input) { return one("linear", {input, weights.at(name), nullptr}); };
    const auto drop = [&](std::initializer_list<Tensor> tensors) {
      for (const Tensor& tensor : tensors) device().release(tensor);
    };
    const double n_heads = static_cast<double>(sizes_.hidden / sizes_.head_dim), head_dim = static_cast<double>(sizes_.head_dim);
    const Tensor n = one("rmsnorm", {x, norm_}, options({{"eps", 1e-5}}));
    observe("q", n);
    const Tensor q = linear("q", n), k = linear("k", n), v = linear("v", n);
    const Tensor turned_q = one("rope", {q, cos_, sin_, positions_}, options({{"head_dim", head_dim}})), turned_k = one("rope", {k, cos_, sin_, positions_}, options({{"head_dim", head_dim}}));
    drop({n, q, k});
    const Tensor mixed = one("attention", {turned_q, turned_k, v, offsets_},
                             options({{"n_heads", n_heads}, {"n_kv_heads", n_heads}, {"head_dim", head_dim}, {"scale", 1 / std::sqrt(head_dim)}, {"sliding_window", 0.0}}));
    drop({turned_q, turned_k, v});
    observe("o", mixed);
    const Tensor projected = linear("o", mixed), middle = one("add", {x, projected});
    drop({mixed, projected});
    const Tensor normed = one("rmsnorm", {middle, norm_}, options({{"eps", 1e-5}}));
    observe("gate", normed);
    const Tensor gate = linear("gate", normed), up = linear("up", normed), product = one("silu_mul", {gate, up});
    drop({normed, gate, up});
    observe("down", product);
    const Tensor last = linear("down", product), result = one("add", {middle, last});
    drop({middle, product, last});
    return result;
  }

  Weights quantized(const Weights& weights, const std::map<std::string, Tensor>& hessians) {
    Options grid = options({{"num_bits", 4.0}, {"symmetric", true}, {"strategy", std::string("group")}, {"group_size", static_cast<double>(sizes_.group)}, {"observer", std::string("minmax")}, {"block_size", 128.0}});
    Weights rounded;
    for (const auto& [hessian, names] : {std::pair<std::string, std::vector<std::string>>{"q", {"q", "k", "v"}}, {"o", {"o"}}, {"gate", {"gate", "up"}}, {"down", {"down"}}}) {
      std::vector<Tensor> parts;
      for (const std::string& name : names) parts.push_back(weights.at(name));
      const Tensor matrix = one("stack_rows", parts), dead = one("dead_columns", {hessians.at(hessian)});
      const Tensor factor = one("gptq_factor", {hessians.at(hessian), nullptr}, options({{"dampening_frac", 0.01}}));
      const std::vector<Tensor> scales = ladder_.call("weight_scales", {matrix, nullptr}, grid);
      const Tensor codes = one("quantize_gptq", {matrix, factor, scales[0], scales[1], nullptr, nullptr, dead}, grid), back = one("dequantize", {codes, scales[0], scales[1], nullptr}, grid);
      const Tensor packed = one("pack_int32", {codes}, options({{"num_bits", 4.0}, {"axis", 1.0}}));
      std::promise<Status> read;
      device().read(packed, [&](Status status, std::vector<uint8_t>) { read.set_value(std::move(status)); });
      expect_fine(read.get_future().get());
      int64_t row = 0;
      for (size_t i = 0; i < names.size(); ++i) {
        const int64_t rows = parts[i]->spec.shape[0];
        rounded[names[i]] = one("narrow", {back}, options({{"start", static_cast<double>(row)}, {"length", static_cast<double>(rows)}}));
        row += rows;
        device().release(parts[i]);
      }
      for (const Tensor& tensor : {matrix, dead, factor, scales[0], scales[1], codes, back, packed}) device().release(tensor);
    }
    return rounded;
  }

  void write(const std::string& path, int n_timed) {
    const double share = static_cast<double>(sizes_.n_batches) / static_cast<double>(n_batches_), blocks = static_cast<double>(sizes_.n_blocks) / n_timed;
    const double seconds = blocks * ((calibrate_ + pass_) * share + quantize_);
    const int64_t T = sizes_.row * sizes_.rows_per_batch, activations = n_batches_ * T * sizes_.hidden * 4;
    const Room room = device().room();
    std::printf("%d blocks with %lld of %lld tokens took %.1f s; %lld blocks with all tokens would take %.1f s (extrapolated)\n", n_timed, static_cast<long long>(n_batches_ * T),
                static_cast<long long>(sizes_.n_batches * T), calibrate_ + quantize_ + pass_, static_cast<long long>(sizes_.n_blocks), seconds);
    std::ofstream file(path + ".part");
    file << "{\"blocks_timed\": " << n_timed << ", \"blocks\": " << sizes_.n_blocks << ", \"hidden\": " << sizes_.hidden << ", \"intermediate\": " << sizes_.intermediate << ", \"tokens_timed\": " << n_batches_ * T
         << ", \"tokens\": " << sizes_.n_batches * T << ",\n\"calibrate_seconds\": " << calibrate_ << ", \"quantize_seconds\": " << quantize_ << ", \"pass_seconds\": " << pass_
         << ",\n\"extrapolated_seconds\": " << seconds << ", \"extrapolation\": \"all blocks from those timed" << (n_batches_ < sizes_.n_batches ? ", and the passes to all tokens" : "")
         << "; without files, embedding, head and evaluation\",\n\"activation_bytes\": " << activations << ", \"peak_bytes_beside_activations\": " << peak_ - activations
         << ", \"device_bytes_in_use_after\": " << (room.free < 0 ? -1 : room.total - room.free) << "}\n";
    finish(file, path);
  }

  Ladder ladder_;
  Sizes sizes_;
  int64_t n_batches_ = 0, peak_ = 0;
  double calibrate_ = 0, quantize_ = 0, pass_ = 0;
  std::mt19937 chance_{17};
  Tensor positions_, offsets_, cos_, sin_, norm_, square_, up_, down_;
  std::vector<Tensor> batches_;
};

}  // namespace

int main(int n_arguments, char** arguments) {
  if (n_arguments < 3) stop("usage: cuda-blocks LIBRARY FILE [--small]");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Blocks blocks(open_first(arguments[1]), n_arguments > 3 && std::strcmp(arguments[3], "--small") == 0);
  blocks.run(arguments[2]);
  return 0;
}
