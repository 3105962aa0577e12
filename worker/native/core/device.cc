// A device and its queue: see device.h.
#include "core/device.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/operations.h"

namespace bitwright {

Storage::~Storage() {
  if (!memory) return;
  memory->blocks.give(data, static_cast<size_t>(bytes));
  memory->current_bytes -= bytes;
}

Device::Device(int n_threads) : n_threads_(n_threads), pool_(n_threads), executor_([this] { execute(); }) {}

Device::~Device() {
  cancel_ = true;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  executor_.join();
}

void Device::push(std::function<void()> command) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void Device::execute() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> command = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    command();
    command = nullptr;
    lock.lock();
  }
}

bool Device::allocate(TensorState& tensor, bool clear) {
  const int64_t bytes = tensor.spec.bytes();
  auto storage = std::make_shared<Storage>();
  storage->data = memory_->blocks.take(static_cast<size_t>(bytes));
  if (storage->data == nullptr) {
    failure_ = Status::error("out of memory: " + std::to_string(bytes) + " bytes for " + tensor.spec.text() + " beside " + std::to_string(current_bytes()) + " bytes in use");
    return false;
  }
  storage->bytes = bytes;
  storage->memory = memory_;
  const int64_t current = memory_->current_bytes += bytes;
  peak_bytes_ = std::max(peak_bytes_.load(), current);
  if (clear) std::memset(storage->data, 0, static_cast<size_t>(bytes));
  tensor.storage = std::move(storage);
  tensor.offset = 0;
  return true;
}

Tensor Device::from_bytes(TensorSpec spec, const void* bytes) {
  Tensor tensor = std::make_shared<TensorState>();
  tensor->spec = std::move(spec);
  std::vector<uint8_t> copy(static_cast<const uint8_t*>(bytes), static_cast<const uint8_t*>(bytes) + tensor->spec.bytes());
  push([this, tensor, copy = std::move(copy)] {
    if (failure_.ok() && allocate(*tensor, false)) std::copy(copy.begin(), copy.end(), static_cast<uint8_t*>(tensor->storage->data));
  });
  return tensor;
}

Tensor Device::from_file(TensorSpec spec, const std::string& path, int64_t offset) {
  Tensor tensor = std::make_shared<TensorState>();
  tensor->spec = std::move(spec);
  push([this, tensor, path, offset] {
    if (!failure_.ok() || !allocate(*tensor, false)) return;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
      failure_ = Status::error("read " + path + ": " + std::strerror(errno));
      return;
    }
    const int64_t bytes = tensor->spec.bytes();
    int64_t done = 0;
    while (done < bytes) {
      const ssize_t got = pread(file, static_cast<char*>(tensor->storage->data) + done, static_cast<size_t>(bytes - done), offset + done);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        failure_ = Status::error("read " + path + ": " + std::to_string(bytes) + " bytes wanted at offset " + std::to_string(offset) + ", " + std::to_string(done) + " there" +
                                 (got < 0 ? std::string(": ") + std::strerror(errno) : std::string()));
        break;
      }
      done += got;
    }
    close(file);
  });
  return tensor;
}

Tensor Device::zeros(TensorSpec spec) {
  Tensor tensor = std::make_shared<TensorState>();
  tensor->spec = std::move(spec);
  push([this, tensor] {
    if (failure_.ok()) allocate(*tensor, true);
  });
  return tensor;
}

Status Device::enqueue(const std::string& name, const std::vector<Tensor>& inputs, const Options& options, std::vector<Tensor>& results) {
  const Operation* operation = find_cpu_operation(name);
  if (operation == nullptr) return Status::error("there is no operation named " + name);
  Specs specs;
  // What is left out has a shape and dtype that no operation wants, so that only one that asks for `present` takes it.
  for (const Tensor& input : inputs) specs.push_back(input ? input->spec : TensorSpec{DType::U8, {-1}, false});
  Specs result_specs;
  if (Status status = operation->infer(specs, options, result_specs); !status.ok()) return Status::error(name + ": " + status.message);
  for (TensorSpec& spec : result_specs) {
    results.push_back(std::make_shared<TensorState>());
    results.back()->spec = std::move(spec);
  }
  push([this, operation, inputs, options, results] { run(*operation, inputs, results, options); });
  return Status::fine();
}

void Device::run(const Operation& operation, const std::vector<Tensor>& inputs, const std::vector<Tensor>& results, const Options& options) {
  if (failure_.ok() && cancel_) failure_ = Status::cancelled();
  if (!failure_.ok()) return;
  auto view_of = [](const Tensor& tensor) {
    TensorView view;
    if (!tensor) {
      view.present = false;
      return view;
    }
    static_cast<TensorSpec&>(view) = tensor->spec;
    view.data = static_cast<char*>(tensor->storage->data) + tensor->offset;
    return view;
  };
  Views input_views, result_views;
  for (const Tensor& input : inputs) {
    if (input && !input->storage) {
      failure_ = Status::error(std::string(operation.name) + ": an input was released before");
      return;
    }
    input_views.push_back(view_of(input));
  }
  if (operation.run == nullptr) {
    results[0]->storage = inputs[0]->storage;
    results[0]->offset = inputs[0]->offset + operation.alias_offset(inputs[0]->spec, options);
    return;
  }
  for (const Tensor& result : results)
    if (!allocate(*result, false)) {
      failure_.message = std::string(operation.name) + ": " + failure_.message;
      return;
    }
  for (const Tensor& result : results) result_views.push_back(view_of(result));
  RunContext context{pool_, cancel_};
  Status status = operation.run(context, input_views, result_views, options);
  if (status.ok()) return;
  if (status.message.rfind("cancelled: ", 0) == 0) {
    failure_ = std::move(status);
    return;
  }
  std::string text = std::string(operation.name) + " of";
  for (const TensorView& view : input_views) text += " " + view.text();
  failure_ = Status::error(text + ": " + status.message);
}

void Device::release(Tensor tensor) {
  push([tensor] { tensor->storage.reset(); });
}

Status Device::take_failure() {
  Status status = std::move(failure_);
  // A cancellation stays until resume(); any other failure is told once.
  failure_ = cancel_ && !status.ok() ? Status::cancelled() : Status::fine();
  return status;
}

void Device::read(Tensor tensor, std::function<void(Status, std::vector<uint8_t>)> done) {
  push([this, tensor, done = std::move(done)] {
    std::vector<uint8_t> bytes;
    if (failure_.ok() && !tensor->storage) failure_ = Status::error("read of " + tensor->spec.text() + ": it was released before");
    if (failure_.ok()) {
      const uint8_t* data = static_cast<const uint8_t*>(tensor->storage->data) + tensor->offset;
      bytes.assign(data, data + tensor->spec.bytes());
    }
    done(take_failure(), std::move(bytes));
  });
}

void Device::sync(std::function<void(Status)> done) {
  push([this, done = std::move(done)] { done(take_failure()); });
}

void Device::resume() {
  cancel_ = false;
  push([this] { failure_ = Status::fine(); });
}

}  // namespace bitwright
