// What the bench programs of a backend library share: floors measured on the device, tensors of noise, the time of an operation beside its floor, the file of results.
#pragma once
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

namespace bitwright_bench {

using namespace bitwright;

struct Rung {
  std::string name, shape;
  double milliseconds, floor_milliseconds;
  std::string bound_by;
};

[[noreturn]] inline void stop(const std::string& text) {
  std::fprintf(stderr, "bench: %s\n", text.c_str());
  std::exit(1);
}

inline void expect_fine(const Status& status) {
  if (!status.ok()) stop(status.message);
}

/// A file appears by a rename, so that it is whole whenever the program is ended.
inline void finish(std::ofstream& part, const std::string& path) {
  part.close();
  if (!part || std::rename((path + ".part").c_str(), path.c_str()) != 0) stop(path + " cannot be written");
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

  Device& device() { return *device_; }
  bool is_small() const { return is_small_; }

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
    if (!path_.empty()) write(path_);
    const Rung& rung = rungs_.back();
    std::printf("%-26s %-34s %10.3f ms  floor %10.3f ms (%s)  %5.1f %%\n", name.c_str(), shape.c_str(), rung.milliseconds, rung.floor_milliseconds, rung.bound_by.c_str(),
                100 * rung.floor_milliseconds / rung.milliseconds);
  }

  void settle() {
    std::promise<Status> promise;
    device_->sync([&](Status status) { promise.set_value(std::move(status)); });
    expect_fine(promise.get_future().get());
  }

  /// A size that the operations have, for programs that time the same elsewhere.
  int64_t name(const char* name, int64_t size) {
    sizes_.emplace_back(name, size);
    return size;
  }

  /// Rungs are written as they are timed.
  void keep_in(const std::string& path) { path_ = path; }

  void write(const std::string& path) const {
    std::ofstream file(path + ".part");
    file << "{\"copy_bytes_per_second\": " << copy_rate_ << ", \"gemm_bf16_operations_per_second\": " << bf16_rate_ << ", \"gemm_f32_operations_per_second\": " << f32_rate_ << ",\n\"sizes\": {";
    for (size_t i = 0; i < sizes_.size(); ++i) file << (i > 0 ? ", " : "") << "\"" << sizes_[i].first << "\": " << sizes_[i].second;
    file << "},\n\"rungs\": [";
    for (size_t i = 0; i < rungs_.size(); ++i)
      file << (i > 0 ? ",\n" : "\n") << "{\"operation\": \"" << rungs_[i].name << "\", \"shape\": \"" << rungs_[i].shape << "\", \"milliseconds\": " << rungs_[i].milliseconds
           << ", \"floor_milliseconds\": " << rungs_[i].floor_milliseconds << ", \"bound_by\": \"" << rungs_[i].bound_by << "\"}";
    file << "\n]}\n";
    finish(file, path);
  }
  void print_floors() const { std::printf("copy %.0f GB/s, BF16 products %.1f TFLOP/s, F32 products %.1f TFLOP/s\n", copy_rate_ / 1e9, bf16_rate_ / 1e12, f32_rate_ / 1e12); }

 private:
  const bool is_small_;
  double copy_rate_ = 1, bf16_rate_ = 1, f32_rate_ = 1;
  std::unique_ptr<Device> device_;
  std::string path_;
  std::vector<Rung> rungs_;
  std::vector<std::pair<std::string, int64_t>> sizes_;
};

inline Options options(std::initializer_list<std::pair<const char*, Options::Value>> values) {
  Options all;
  for (const auto& [name, value] : values) all.set(name, value);
  return all;
}

inline std::string text(int64_t a, int64_t b) { return std::to_string(a) + " × " + std::to_string(b); }

/// The first device of a library, or the end of the program with the reason.
inline std::unique_ptr<Backend> open_first(const std::string& path) {
  Status status;
  const auto library = BackendLibrary::load(path, status);
  if (!library) stop(status.message);
  const DeviceFacts facts = library->devices()[0];
  if (!facts.usable) stop(facts.reason);
  std::unique_ptr<Backend> backend = library->open(0, status);
  if (!backend) stop(status.message);
  return backend;
}

}  // namespace bitwright_bench
