// The devices that this addon can open: see backends.h.
#include "backends.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "core/cpu-backend.h"
#include "core/pool.h"
#include "device-info.h"

namespace bitwright {
namespace {

constexpr const char* cuda_file = "bitwright-cuda.so";

/// The folder of this addon.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

std::shared_ptr<const BackendLibrary> cuda_library(Status& status) {
  const std::string path = own_folder() + "/" + cuda_file;
  if (access(path.c_str(), R_OK) == 0) return BackendLibrary::load(path, status);
  status = Status::error(std::string("the file ") + cuda_file + " is missing beside the native core: it is built where CMake finds nvcc of a CUDA toolkit 12.0 or newer, by npm run build");
  return nullptr;
}

}  // namespace

std::vector<ListedDevice> list_devices() {
  const CpuInfo& cpu = cpu_info();
  std::vector<ListedDevice> all{{"cpu", 0, {cpu.name, true, "", cpu.memory_bytes, "", cpu.details}}};
  Status status;
  const auto library = cuda_library(status);
  if (!library) {
    all.push_back({"cuda", 0, {"CUDA", false, status.message, -1, "", {}}});
    return all;
  }
  int index = 0;
  for (DeviceFacts& facts : library->devices()) all.push_back({library->kind(), index++, std::move(facts)});
  return all;
}

Status open_backend(const std::string& kind, int index, int n_threads, OpenedBackend& opened) {
  if (kind == "cpu") {
    opened.n_threads = n_threads > 0 ? n_threads : std::min(cpu_info().n_physical_cores, most_threads);
    opened.name = cpu_info().name;
    try {
      opened.backend = std::make_unique<CpuBackend>(opened.n_threads);
    } catch (const std::runtime_error& error) {
      return Status::error(error.what());
    }
    return Status::fine();
  }
  if (kind != "cuda") return Status::error("there is no device of the kind " + kind);
  Status status;
  const auto library = cuda_library(status);
  if (!library) return status;
  const std::vector<DeviceFacts> devices = library->devices();
  if (index < 0 || index >= static_cast<int>(devices.size())) return Status::error("there is no device " + kind + ":" + std::to_string(index) + ", the last is " + kind + ":" + std::to_string(devices.size() - 1));
  const DeviceFacts& device = devices[static_cast<size_t>(index)];
  if (!device.usable) return Status::error(device.reason);
  opened.backend = library->open(index, status);
  opened.name = device.name;
  return status;
}

}  // namespace bitwright
