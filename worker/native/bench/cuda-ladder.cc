// The bench ladder of a backend library: what each operation takes, beside its floor on the same device in the same run. The floor of an operation is its bytes
// over the measured bandwidth of a copy, or its operations over the measured rate of matrix products, whichever is longer.
// Usage: cuda-ladder LIBRARY FILE [--small]. Writes FILE as JSON and prints a table; --small tries the program itself, its times mean nothing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/library-backend.h"

namespace {

using namespace bitwright;

struct Rung {
  std::string name, shape;
  double milliseconds, floor_milliseconds;
  std::string bound_by;
};

[[noreturn]] void stop(const std::string& text) {
  std::fprintf(stderr, "cuda-ladder: %s\n", text.c_str());
  std::exit(1);
}

void expect_fine(const Status& status) {
  if (!status.ok()) stop(status.message);
}

class Ladder {
 public:
  Ladder(std::unique_ptr<Backend> backend, bool is_small) : is_small_(is_small) {
    auto& library = static_cast<LibraryBackend&>(*backend);
    const int64_t copy_bytes = is_small ? 1 << 20 : int64_t{1} << 31, n = is_small ? 64 : 8192, n_f32 = is_small ? 64 : 4096;
    expect_fine(library.measure("copy", copy_bytes, 0, 0, copy_rate_));
    expect_fine(library.measure("gemm-f32", n_f32, n_f32, n_f32, f32_rate_));
    if (const Status status = library.measure("gemm-bf16", n, n, n, bf16_rate_); !status.ok()) {
      std::printf("%s: all products are in F32\n", status.message.c_str());
      bf16_rate_ = f32_rate_;
    }
    device_ = std::make_unique<Device>(std::move(backend));
  }

  /// A large extent, or a small one that keeps its remainders.
  int64_t size(int64_t large) const { return is_small_ ? std::max<int64_t>(1, large / 64) : large; }

  Tensor noise(DType dtype, const Shape& shape, double scale = 1) {
    TensorSpec spec{dtype, shape};
    std::vector<uint8_t> bytes(static_cast<size_t>(spec.bytes()));
    uint32_t state = 12345;
    for (int64_t i = 0; i < spec.count(); ++i) {
      state = state * 1664525u + 1013904223u;
      const float value = static_cast<float>(static_cast<int32_t>(state)) * 4.656612873e-10f * static_cast<float>(scale);
      if (dtype == DType::F32) reinterpret_cast<float*>(bytes.data())[i] = value;
      else if (dtype == DType::BF16) reinterpret_cast<uint16_t*>(bytes.data())[i] = float_to_bf16(value);
      else bytes[static_cast<size_t>(i)] = static_cast<uint8_t>((state >> 28) - 8);
    }
    return device_->from_bytes(spec, bytes.data());
  }
  Tensor ints(const std::vector<int32_t>& values) { return device_->from_bytes({DType::I32, {static_cast<int64_t>(values.size())}}, values.data()); }
  Tensor zeros(DType dtype, const Shape& shape) { return device_->zeros({dtype, shape}); }

  std::vector<Tensor> call(const std::string& name, const std::vector<Tensor>& inputs, const Options& options) {
    std::vector<Tensor> results;
    expect_fine(device_->enqueue(name, inputs, options, results));
    return results;
  }

  /// Times an operation: bytes that it must move, operations on BF16 units and in F32 that it must do.
  void time(const std::string& name, const std::string& shape, const std::vector<Tensor>& inputs, const Options& options, double bytes, double bf16_operations = 0, double f32_operations = 0) {
    const auto seconds_of = [&](int n) {
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < n; ++i)
        for (Tensor& result : call(name, inputs, options)) device_->release(std::move(result));
      settle();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    const double once = (seconds_of(1), seconds_of(1));
    const int n = is_small_ ? 1 : std::clamp(static_cast<int>(0.3 / std::max(once, 1e-6)), 3, 1000);
    double best = once;
    // The shortest of three rounds: what else the host does only adds.
    for (int round = 0; round < (is_small_ ? 1 : 3); ++round) best = std::min(best, seconds_of(n) / n);
    const double by_bytes = bytes / copy_rate_, by_operations = bf16_operations / bf16_rate_ + f32_operations / f32_rate_;
    rungs_.push_back({name, shape, best * 1e3, std::max(by_bytes, by_operations) * 1e3, by_bytes >= by_operations ? "bytes" : "operations"});
    const Rung& rung = rungs_.back();
    std::printf("%-26s %-34s %10.3f ms  floor %10.3f ms (%s)  %5.1f %%\n", name.c_str(), shape.c_str(), rung.milliseconds, rung.floor_milliseconds, rung.bound_by.c_str(),
                100 * rung.floor_milliseconds / rung.milliseconds);
  }

  void settle() {
    std::promise<Status> promise;
    device_->sync([&](Status status) { promise.set_value(std::move(status)); });
    expect_fine(promise.get_future().get());
  }

  void write(const std::string& path) const {
    std::ofstream file(path);
    file << "{\"copy_bytes_per_second\": " << copy_rate_ << ", \"gemm_bf16_operations_per_second\": " << bf16_rate_ << ", \"gemm_f32_operations_per_second\": " << f32_rate_ << ",\n\"rungs\": [";
    for (size_t i = 0; i < rungs_.size(); ++i)
      file << (i > 0 ? ",\n" : "\n") << "{\"operation\": \"" << rungs_[i].name << "\", \"shape\": \"" << rungs_[i].shape << "\", \"milliseconds\": " << rungs_[i].milliseconds
           << ", \"floor_milliseconds\": " << rungs_[i].floor_milliseconds << ", \"bound_by\": \"" << rungs_[i].bound_by << "\"}";
    file << "\n]}\n";
    if (!file) stop(path + " cannot be written");
  }
  void print_floors() const { std::printf("copy %.0f GB/s, BF16 products %.1f TFLOP/s, F32 products %.1f TFLOP/s\n", copy_rate_ / 1e9, bf16_rate_ / 1e12, f32_rate_ / 1e12); }

 private:
  bool is_small_;
  double copy_rate_ = 1, bf16_rate_ = 1, f32_rate_ = 1;
  std::unique_ptr<Device> device_;
  std::vector<Rung> rungs_;
};

Options options(std::initializer_list<std::pair<const char*, Options::Value>> values) {
  Options all;
  for (const auto& [name, value] : values) all.set(name, value);
  return all;
}

std::string text(int64_t a, int64_t b) { return std::to_string(a) + " × " + std::to_string(b); }

void climb(Ladder& ladder) {
  const int64_t T = ladder.size(8192), I = ladder.size(4096), O = ladder.size(14336), V = ladder.size(128256), group = ladder.size(8192) == 8192 ? 128 : 32;
  const auto d = [](int64_t n) { return static_cast<double>(n); };
  const Tensor x = ladder.noise(DType::F32, {T, I}), wide = ladder.noise(DType::F32, {T, O}), weight = ladder.noise(DType::BF16, {O, I}, 0.02), down = ladder.noise(DType::BF16, {I, O}, 0.02);
  const Tensor norm = ladder.noise(DType::BF16, {I});
  std::vector<int32_t> positions, ids;
  for (int64_t t = 0; t < T; ++t) {
    positions.push_back(static_cast<int32_t>(t % std::max<int64_t>(1, T / 4)));
    ids.push_back(static_cast<int32_t>(t * 7919 % V));
  }
  const int64_t head_dim = I >= 4096 ? 128 : 8, n_heads = I / head_dim, n_kv_heads = n_heads / 4, length = T / 4;
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
  ladder.time("compare", text(O, I), {weight, weight}, {}, 2 * w_bytes);
  ladder.time("summary", text(O, I), {weight}, {}, w_bytes);
  {
    Options search = grid;
    search.set("observer", std::string("mse"));
    ladder.time("weight_scales", "mse, " + text(O, I), {weight, nullptr}, search, w_bytes);
  }
  // A factor is ⅔ n³ operations, the loop n² rows.
  const Options damping = options({{"dampening_frac", 0.01}});
  for (const auto& [hessian, matrix, scale, rows, n] : {std::tuple{H, weight, scales, O, I}, std::tuple{H_wide, down, down_scales, I, O}}) {
    const Tensor U = ladder.call("gptq_factor", {hessian, nullptr}, damping)[0];
    ladder.time("gptq_factor", std::to_string(n), {hessian, nullptr}, damping, 8 * d(n) * d(n), 0, 2.0 / 3 * d(n) * d(n) * d(n));
    ladder.time("quantize_gptq", "4 bits, group " + std::to_string(group) + ", " + text(rows, n), {matrix, U, scale[0], scale[1], nullptr, nullptr, nullptr}, grid, 3 * d(rows) * d(n), 0, d(rows) * d(n) * d(n));
  }
}

}  // namespace

int main(int n_arguments, char** arguments) {
  if (n_arguments < 3) stop("usage: cuda-ladder LIBRARY FILE [--small]");
  Status status;
  const auto library = BackendLibrary::load(arguments[1], status);
  if (!library) stop(status.message);
  const DeviceFacts facts = library->devices()[0];
  if (!facts.usable) stop(facts.reason);
  std::unique_ptr<Backend> backend = library->open(0, status);
  if (!backend) stop(status.message);
  Ladder ladder(std::move(backend), n_arguments > 3 && std::strcmp(arguments[3], "--small") == 0);
  ladder.print_floors();
  climb(ladder);
  ladder.write(arguments[2]);
  return 0;
}
