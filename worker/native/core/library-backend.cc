// Loading a backend's library and speaking to it: see library-backend.h.
#include "core/library-backend.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace bitwright {
namespace {

using Text = char[BITWRIGHT_TEXT_SIZE];

Status status_of(int32_t code, const char* text) { return code == 0 ? Status::fine() : Status::error(text); }

std::vector<bitwright_tensor> tensors_of(const Views& views) {
  std::vector<bitwright_tensor> tensors;
  for (const TensorView& view : views)
    tensors.push_back({static_cast<int32_t>(view.dtype), view.present ? 1 : 0, static_cast<int64_t>(view.shape.size()), view.shape.data(), view.data});
  return tensors;
}

}  // namespace

std::shared_ptr<const BackendLibrary> BackendLibrary::load(const std::string& path, Status& status) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const BackendLibrary>> loaded;
  std::lock_guard lock(mutex);
  if (const auto found = loaded.find(path); found != loaded.end()) return found->second;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    status = Status::error(why != nullptr ? why : path + " cannot be loaded");
    return nullptr;
  }
  const auto function = reinterpret_cast<bitwright_backend_function>(dlsym(library, BITWRIGHT_BACKEND_SYMBOL));
  const bitwright_backend_table* table = function != nullptr ? function() : nullptr;
  if (table == nullptr || table->abi != BITWRIGHT_BACKEND_ABI) {
    status = Status::error(path + (table == nullptr ? " is no backend of this program" : " has backend version " + std::to_string(table->abi) + ", this program needs " + std::to_string(BITWRIGHT_BACKEND_ABI)) +
                           "; build both again with npm run build");
    dlclose(library);
    return nullptr;
  }
  return loaded[path] = std::shared_ptr<const BackendLibrary>(new BackendLibrary(table));
}

std::vector<DeviceFacts> BackendLibrary::devices() const {
  std::vector<DeviceFacts> all;
  for (int32_t index = 0; index < table_->n_devices(); ++index) {
    const auto info = std::make_unique<bitwright_device_info>();
    table_->describe(index, info.get());
    DeviceFacts facts{info->name, info->usable != 0, info->reason, info->memory_bytes, info->compute_capability, {}};
    for (int32_t i = 0; i < info->n_facts; ++i) facts.details.emplace_back(info->facts[i].name, info->facts[i].value);
    all.push_back(std::move(facts));
  }
  return all;
}

std::unique_ptr<Backend> BackendLibrary::open(int index, Status& status) const {
  Text text = "";
  void* device = table_->open(index, text);
  if (device != nullptr) return std::make_unique<LibraryBackend>(*table_, device);
  status = Status::error(text);
  return nullptr;
}

Room LibraryBackend::room() {
  Room room;
  table_.room(device_, &room.total, &room.free);
  return room;
}

Status LibraryBackend::to_host(void* host, const void* from, int64_t bytes) {
  Text text = "";
  return status_of(table_.to_host(device_, host, from, bytes, text), text);
}

Status LibraryBackend::to_device(void* to, const void* host, int64_t bytes) {
  Text text = "";
  return status_of(table_.to_device(device_, to, host, bytes, text), text);
}

Status LibraryBackend::clear(void* to, int64_t bytes) {
  Text text = "";
  return status_of(table_.clear(device_, to, bytes, text), text);
}

Status LibraryBackend::fill(void* to, int64_t bytes, const PieceReader& read) {
  struct State {
    const PieceReader& read;
    Status status;
  } state{read, Status::fine()};
  const auto piece = [](void* pointer, void* host, int64_t offset, int64_t count) -> int32_t {
    State& own = *static_cast<State*>(pointer);
    own.status = own.read(host, offset, count);
    return own.status.ok() ? 0 : 1;
  };
  Text text = "";
  const int32_t code = table_.fill(device_, to, bytes, piece, &state, text);
  return state.status.ok() ? status_of(code, text) : state.status;
}

Status LibraryBackend::fetch(void* to, const void* from, int64_t bytes) {
  Text text = "";
  return status_of(table_.fetch(device_, to, from, bytes, text), text);
}

Status LibraryBackend::run(const Operation& operation, const Views& inputs, const Views& results, const Options& options, const std::atomic<bool>& cancel) {
  const std::vector<bitwright_tensor> in = tensors_of(inputs), out = tensors_of(results);
  std::vector<bitwright_option> values;
  for (const auto& [name, value] : options.all()) {
    bitwright_option option{name.c_str(), bitwright_number, 0, nullptr};
    if (const double* number = std::get_if<double>(&value)) {
      option.number = *number;
    } else if (const bool* flag = std::get_if<bool>(&value)) {
      option.kind = bitwright_flag;
      option.number = *flag ? 1 : 0;
    } else {
      option.kind = bitwright_text;
      option.text = std::get<std::string>(value).c_str();
    }
    values.push_back(option);
  }
  bitwright_call call{};
  call.operation = operation.name;
  call.inputs = in.data();
  call.n_inputs = static_cast<int32_t>(in.size());
  call.results = out.data();
  call.n_results = static_cast<int32_t>(out.size());
  call.options = values.data();
  call.n_options = static_cast<int32_t>(values.size());
  call.cancelled = [](const void* state) -> int32_t { return static_cast<const std::atomic<bool>*>(state)->load(std::memory_order_relaxed) ? 1 : 0; };
  call.state = &cancel;
  Text text = "";
  const int32_t code = table_.run(device_, &call, text);
  return code == BITWRIGHT_CANCELLED ? Status::cancelled() : status_of(code, text);
}

Status LibraryBackend::settle() {
  Text text = "";
  return status_of(table_.settle(device_, text), text);
}

Status LibraryBackend::measure(const std::string& what, int64_t m, int64_t n, int64_t k, double& rate) {
  Text text = "";
  return status_of(table_.measure(device_, what.c_str(), m, n, k, &rate, text), text);
}

}  // namespace bitwright
