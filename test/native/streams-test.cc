// What a second stream and memory that goes from hand to hand can spoil: tensors in a random order of fills, work, views, copies to the host and back, and releases, none of which is waited for,
// against the same on the host. Streams that work at the call cannot fail here; those of the late emulation (emulation/streams.cc) and of a GPU can.
#include <algorithm>

#include "runner.h"

using namespace bitwright_test;

namespace {

constexpr int64_t columns = 512;

struct Held {
  bitwright::Tensor tensor;
  std::vector<float> values;
};

class Walk {
 public:
  Walk(bitwright::Device& device, uint32_t seed) : device_(device), random_(seed) {}

  /// Releases and fills lie beside each other, so that a fill comes where something was released just before.
  void step() {
    switch (below(10)) {
      case 0:
      case 1:
      case 2: return fill();
      case 3:
      case 4:
      case 5: return add();
      case 6: return release();
      case 7: return move();
      case 8: return clear();
      default: return below(4) == 0 ? look() : fill();
    }
  }
  void look_at_all() {
    while (!held_.empty()) look();
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  int64_t rows() {
    // 600 rows are 1.2 MB and filled beside the work, 100 are not; a view may be smaller.
    return below(3) == 0 ? 100 : 600;
  }
  Held& any() { return held_[below(held_.size())]; }
  void take(Held held) {
    if (held_.size() >= 12) release();
    held_.push_back(std::move(held));
  }
  Held removed() {
    std::swap(any(), held_.back());
    Held held = std::move(held_.back());
    held_.pop_back();
    return held;
  }
  bitwright::Tensor done(const std::string& operation, const std::vector<bitwright::Tensor>& inputs, const Options& options = {}) {
    std::vector<bitwright::Tensor> results;
    const Status status = device_.enqueue(operation, inputs, options, results);
    expect(status.ok(), status.message);
    return results[0];
  }

  void fill() {
    const int64_t n = rows();
    std::vector<float> values(static_cast<size_t>(n * columns));
    const float first = static_cast<float>(below(1000));
    for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i % 97);
    bitwright::Tensor tensor = device_.from_bytes({DType::F32, {n, columns}}, values.data());
    take({std::move(tensor), std::move(values)});
  }

  void clear() {
    const int64_t n = rows();
    take({device_.zeros({DType::F32, {n, columns}}), std::vector<float>(static_cast<size_t>(n * columns))});
  }

  /// Of two tensors, or of a part of one with another that has as many rows.
  void add() {
    if (held_.empty()) return;
    const Held &a = any(), &b = any();
    const int64_t n = std::min(a.tensor->spec.shape[0], b.tensor->spec.shape[0]);
    const auto part = [&](const Held& held, std::vector<float>& values) {
      const int64_t begin = held.tensor->spec.shape[0] - n;
      values.assign(held.values.begin() + begin * columns, held.values.end());
      return begin == 0 ? held.tensor : done("narrow", {held.tensor}, options({{"start", static_cast<double>(begin)}, {"length", static_cast<double>(n)}}));
    };
    std::vector<float> left, right;
    const bitwright::Tensor x = part(a, left), y = part(b, right);
    for (size_t i = 0; i < left.size(); ++i) left[i] += right[i];
    const bitwright::Tensor sum = done("add", {x, y});
    if (x != a.tensor) device_.release(x);
    if (y != b.tensor) device_.release(y);
    take({sum, std::move(left)});
  }

  void release() {
    if (!held_.empty()) device_.release(removed().tensor);
  }

  /// To the host and back at once, or with work between.
  void move() {
    if (held_.empty()) return;
    Held held = removed();
    bitwright::Tensor there, here;
    expect(device_.to_host(held.tensor, there).ok(), "to host memory");
    device_.release(held.tensor);
    for (size_t i = below(3); i > 0; --i) below(2) == 0 ? fill() : clear();
    expect(device_.to_device(there, here).ok(), "from host memory");
    device_.release(there);
    take({here, std::move(held.values)});
  }

  void look() {
    if (held_.empty()) return;
    const Held held = removed();
    std::promise<std::string> promise;
    device_.read(held.tensor, [&](const Status& status, const std::vector<uint8_t>& bytes) {
      if (!status.ok()) return promise.set_value(status.message);
      size_t i = 0;
      const float* values = reinterpret_cast<const float*>(bytes.data());
      while (i < held.values.size() && values[i] == held.values[i]) ++i;
      promise.set_value(i == held.values.size() ? "" : "element " + std::to_string(i) + " of " + held.tensor->spec.text() + " is " + std::to_string(values[i]) + ", expected " + std::to_string(held.values[i]));
    });
    const std::string told = promise.get_future().get();
    expect(told.empty(), told);
    device_.release(held.tensor);
  }

  bitwright::Device& device_;
  std::mt19937 random_;
  std::vector<Held> held_;
};

/// A device of its own, whose memory holds nothing from before.
std::unique_ptr<bitwright::Device> fresh_device() {
  const bitwright::BackendLibrary* library = running_library();
  if (library == nullptr) throw Skipped{"the processor has no second stream"};
  Status status;
  auto device = std::make_unique<bitwright::Device>(library->open(0, status));
  expect(status.ok(), status.message);
  return device;
}

const Case walk_cases("streams: fills, work, views, copies to the host and releases in a random order give what they give one after the other", [] {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    const std::unique_ptr<bitwright::Device> device = fresh_device();
    Walk walk(*device, seed);
    for (int i = 0; i < 120; ++i) walk.step();
    walk.look_at_all();
  }
});

const Case large_cases("streams: a tensor larger than all pieces of pinned memory goes to the device behind another and comes back", [] {
  const std::unique_ptr<bitwright::Device> device = fresh_device();
  // Pieces have 8 MB, and there are four.
  std::vector<uint8_t> bytes[2];
  bitwright::Tensor tensors[2];
  for (int k = 0; k < 2; ++k) {
    for (int64_t i = 0; i < (int64_t{45} << 20) + 3; ++i) bytes[k].push_back(static_cast<uint8_t>(i * 7 + (i >> 20) + k));
    tensors[k] = device->from_bytes({DType::U8, {static_cast<int64_t>(bytes[k].size())}}, bytes[k].data());
  }
  for (int k = 0; k < 2; ++k) {
    std::promise<bool> promise;
    device->read(tensors[k], [&](const Status& status, const std::vector<uint8_t>& back) { promise.set_value(status.ok() && back == bytes[k]); });
    expect(promise.get_future().get(), "tensor " + std::to_string(k) + " came back as another");
  }
});

const Case stale_cases("streams: a fill is waited for where fills that nobody used lay in the same memory before", [] {
  const std::unique_ptr<bitwright::Device> device = fresh_device();
  constexpr int64_t half = int64_t{8} << 20;
  const auto filled = [&](int64_t bytes, uint8_t value) {
    const std::vector<uint8_t> content(static_cast<size_t>(bytes), value);
    return device->from_bytes({DType::U8, {bytes}}, content.data());
  };
  // What the limit leaves has room for the large one when the small ones are given back to the device, which likely puts it in their place.
  device->limit((int64_t{32} << 20) + 2 * half);
  for (const uint8_t value : {uint8_t{1}, uint8_t{2}}) {
    const bitwright::Tensor one = filled(half, value), other = filled(half, value);
    device->release(one);
    device->release(other);
  }
  const bitwright::Tensor whole = filled(2 * half, 3);
  std::vector<bitwright::Tensor> part;
  expect(device->enqueue("narrow", {whole}, options({{"start", static_cast<double>(half)}, {"length", static_cast<double>(half)}}), part).ok(), "narrow");
  std::promise<std::string> promise;
  device->read(part[0], [&](const Status& status, const std::vector<uint8_t>& bytes) {
    const bool is_whole = status.ok() && std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 3; });
    promise.set_value(is_whole ? "" : status.ok() ? "the second half is not there" : status.message);
  });
  const std::string told = promise.get_future().get();
  expect(told.empty(), told);
});

}  // namespace
