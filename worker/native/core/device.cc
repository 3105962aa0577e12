// A device and its queue: see device.h.
#include "core/device.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/cpu-backend.h"
#include "core/operations.h"

namespace bitwright {

namespace {

struct File {
  int descriptor = -1;
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor >= 0) close(descriptor);
  }
};

std::string free_text(int64_t free) { return free < 0 ? std::string() : ", " + std::to_string(free) + " free"; }

/// What is neither free nor in tensors is held by the backend itself, or by other programs.
std::string beside_text(int64_t in_tensors, int64_t limit, int64_t total) {
  return " beside " + std::to_string(in_tensors) + " in tensors" +
         (limit > 0   ? " of " + std::to_string(limit) + " that the limit allows"
          : total > 0 ? " of " + std::to_string(total) + " that the device has"
                      : std::string());
}

}  // namespace

Storage::~Storage() {
  if (!memory) return;
  if (on_host) {
    memory->backend->give_host(data, bytes);
    memory->host_bytes -= bytes;
    return;
  }
  memory->backend->give(data, bytes);
  memory->current_bytes -= bytes;
}

Device::Device(std::unique_ptr<Backend> backend) {
  memory_->backend = std::move(backend);
  executor_ = std::thread([this] { execute(); });
}

Device::Device(int n_threads) : Device(std::make_unique<CpuBackend>(n_threads)) {}

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
  storage->data = tensor.on_host ? backend().take_host(bytes) : backend().take(bytes);
  if (storage->data == nullptr) {
    const std::string wanted = std::to_string(bytes) + " bytes for " + tensor.spec.text();
    if (tensor.on_host) {
      failure_ = Status::error("out of host memory: " + wanted + " beside " + std::to_string(host_bytes()) + " in tensors");
    } else {
      const Room left = room();
      failure_ = Status::error("out of memory: " + wanted + free_text(left.free) + beside_text(current_bytes(), limit_bytes(), left.total));
    }
    return false;
  }
  storage->bytes = bytes;
  storage->on_host = tensor.on_host;
  storage->memory = memory_;
  const int64_t current = (tensor.on_host ? memory_->host_bytes : memory_->current_bytes) += bytes;
  std::atomic<int64_t>& peak = tensor.on_host ? host_peak_bytes_ : peak_bytes_;
  peak = std::max(peak.load(), current);
  tensor.storage = std::move(storage);
  tensor.offset = 0;
  if (clear) failure_ = backend().clear(tensor.storage->data, bytes);
  return failure_.ok();
}

Tensor Device::fill(TensorSpec spec, PieceReader read) {
  Tensor tensor = std::make_shared<TensorState>();
  tensor->spec = std::move(spec);
  push([this, tensor, read = std::move(read)] {
    if (failure_.ok() && allocate(*tensor, false)) failure_ = backend().fill(tensor->storage->data, tensor->spec.bytes(), read);
  });
  return tensor;
}

Tensor Device::from_bytes(TensorSpec spec, const void* bytes) {
  const uint8_t* begin = static_cast<const uint8_t*>(bytes);
  const auto copy = std::make_shared<const std::vector<uint8_t>>(begin, begin + spec.bytes());
  return fill(std::move(spec), [copy](void* to, int64_t offset, int64_t count) {
    std::copy_n(copy->begin() + offset, count, static_cast<uint8_t*>(to));
    return Status::fine();
  });
}

Tensor Device::from_file(TensorSpec spec, const std::string& path, int64_t offset) {
  const int64_t wanted = spec.bytes();
  // Opened when the queue reaches it, closed with the last piece.
  const auto file = std::make_shared<File>();
  return fill(std::move(spec), [file, path, offset, wanted](void* to, int64_t begin, int64_t count) {
    if (file->descriptor < 0) file->descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file->descriptor < 0) return Status::error("read " + path + ": " + std::strerror(errno));
    for (int64_t done = 0; done < count;) {
      const ssize_t got = pread(file->descriptor, static_cast<char*>(to) + done, static_cast<size_t>(count - done), offset + begin + done);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        return Status::error("read " + path + ": " + std::to_string(wanted) + " bytes wanted at offset " + std::to_string(offset) + ", " + std::to_string(begin + done) + " there" +
                             (got < 0 ? std::string(": ") + std::strerror(errno) : std::string()));
      done += got;
    }
    return Status::fine();
  });
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
  const Operation* operation = find_operation(name);
  if (operation == nullptr) return Status::error("there is no operation named " + name);
  Specs specs;
  // What is left out has a shape and dtype that no operation wants, so that only one that asks for `present` takes it.
  for (const Tensor& input : inputs) specs.push_back(input ? input->spec : TensorSpec{DType::U8, {-1}, false});
  const bool on_host = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input && input->on_host; });
  if (on_host && operation->run != nullptr) return Status::error(name + ": an input lies in host memory; it has to be brought back to the device first");
  Specs result_specs;
  if (Status status = operation->infer(specs, options, result_specs); !status.ok()) return Status::error(name + ": " + status.message);
  for (TensorSpec& spec : result_specs) {
    results.push_back(std::make_shared<TensorState>());
    results.back()->spec = std::move(spec);
    results.back()->on_host = on_host;
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
  failure_ = backend().run(operation, input_views, result_views, options, cancel_);
  if (failure_.message.find("out of memory: ") != std::string::npos) failure_.message += beside_text(current_bytes(), limit_bytes(), room().total);
}

Tensor Device::copy(const Tensor& from, bool to_host) {
  Tensor to = std::make_shared<TensorState>();
  to->spec = from->spec;
  to->on_host = to_host;
  push([this, from, to, to_host] {
    if (failure_.ok() && cancel_) failure_ = Status::cancelled();
    if (failure_.ok() && !from->storage) failure_ = Status::error("copy of " + from->spec.text() + ": it was released before");
    if (!failure_.ok() || !allocate(*to, false)) return;
    const uint8_t* bytes = static_cast<const uint8_t*>(from->storage->data) + from->offset;
    failure_ = to_host ? backend().to_host(to->storage->data, bytes, to->spec.bytes()) : backend().to_device(to->storage->data, bytes, to->spec.bytes());
  });
  return to;
}

Status Device::to_host(Tensor tensor, Tensor& result) {
  if (tensor->on_host) return Status::error("copy of " + tensor->spec.text() + ": it lies in host memory already");
  result = copy(tensor, true);
  return Status::fine();
}

Status Device::to_device(Tensor tensor, Tensor& result) {
  if (!tensor->on_host) return Status::error("copy of " + tensor->spec.text() + ": it lies on the device already");
  result = copy(tensor, false);
  return Status::fine();
}

void Device::release(Tensor tensor) {
  push([tensor] { tensor->storage.reset(); });
}

Status Device::take_failure() {
  // What the backend has not told yet happened before what it has: after a failure nothing more is run.
  Status untold = backend().settle();
  const bool is_cancelled = cancel_ && !failure_.ok();
  Status status = is_cancelled || untold.ok() ? std::move(failure_) : std::move(untold);
  // A cancellation stays until resume(); any other failure is told once.
  failure_ = cancel_ && !status.ok() ? Status::cancelled() : Status::fine();
  return status;
}

void Device::read(Tensor tensor, std::function<void(Status, std::vector<uint8_t>)> done) {
  push([this, tensor, done = std::move(done)] {
    std::vector<uint8_t> bytes;
    if (failure_.ok() && !tensor->storage) failure_ = Status::error("read of " + tensor->spec.text() + ": it was released before");
    if (failure_.ok() && tensor->on_host) {
      // The copy there may still be under way.
      failure_ = backend().settle();
      const uint8_t* begin = static_cast<const uint8_t*>(tensor->storage->data) + tensor->offset;
      if (failure_.ok()) bytes.assign(begin, begin + tensor->spec.bytes());
    } else if (failure_.ok()) {
      bytes.resize(static_cast<size_t>(tensor->spec.bytes()));
      failure_ = backend().fetch(bytes.data(), static_cast<const uint8_t*>(tensor->storage->data) + tensor->offset, tensor->spec.bytes());
    }
    Status status = take_failure();
    if (!status.ok()) bytes.clear();
    done(std::move(status), std::move(bytes));
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
