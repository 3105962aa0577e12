// What stands between this library and a CUDA device: see driver.h.
#include "cuda/driver.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "core/status.h"
#include "cuda/cublas.h"

namespace bitwright::cuda {
namespace {

/// The oldest device that the build has code for: Turing.
constexpr int least_capability = 75;

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

template <size_t size>
void copy_text(char (&to)[size], const std::string& from) {
  std::snprintf(to, size, "%s", from.c_str());
}

void add_fact(bitwright_device_info& info, const char* name, const std::string& value) {
  if (value.empty() || info.n_facts == static_cast<int32_t>(std::size(info.facts))) return;
  bitwright_fact& fact = info.facts[info.n_facts++];
  copy_text(fact.name, name);
  copy_text(fact.value, value);
}

struct Driver {
  int n_devices = 0;
  int cuda_version = 0;  // 0: no driver
  std::string version;   // of the driver package, where its management library says it
  std::string reason;    // why there is no device
};

std::string driver_package_version() {
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "";
  const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
  const auto version = reinterpret_cast<int (*)(char*, unsigned)>(dlsym(library, "nvmlSystemGetDriverVersion"));
  char text[96] = "";
  if (init == nullptr || version == nullptr || init() != 0 || version(text, sizeof text) != 0) return "";
  return text;
}

Driver look() {
  Driver driver;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    driver.reason = "no NVIDIA driver: libcuda.so.1 is not on this machine; a computer with an NVIDIA GPU gets it with the driver";
    return driver;
  }
  const auto get_version = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  if (get_version == nullptr || get_version(&driver.cuda_version) != 0) {
    driver.reason = "the NVIDIA driver does not answer: libcuda.so.1 is there, but cuDriverGetVersion fails";
    return driver;
  }
  // Asked once: it starts the management library.
  static const std::string package_version = driver_package_version();
  driver.version = package_version;
  const std::string own = driver.version.empty() ? "the NVIDIA driver" : "the NVIDIA driver " + driver.version;
  // Within a major version every driver runs every runtime.
  if (driver.cuda_version / 1000 < CUDART_VERSION / 1000) {
    driver.reason = own + " is too old: it knows CUDA " + version_text(driver.cuda_version) + ", this backend was built with CUDA " + version_text(CUDART_VERSION) + " and needs a driver for CUDA " +
                    std::to_string(CUDART_VERSION / 1000) + ".0 or newer";
    return driver;
  }
  const cudaError_t error = cudaGetDeviceCount(&driver.n_devices);
  if (error == cudaSuccess && driver.n_devices > 0) return driver;
  cudaGetLastError();
  driver.n_devices = 0;
  driver.reason = error == cudaErrorNoDevice || error == cudaSuccess
                      ? "no CUDA device: " + own + " is there, but it shows no GPU to this process (CUDA_VISIBLE_DEVICES may hide it)"
                      : own + " cannot be used: it answered " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
  return driver;
}

}  // namespace

int n_devices() { return std::max(1, look().n_devices); }

void describe(int index, bitwright_device_info& info) {
  info = {};
  info.memory_bytes = -1;
  copy_text(info.name, "CUDA");
  const Driver driver = look();
  add_fact(info, "driver", driver.version);
  if (driver.cuda_version > 0) add_fact(info, "CUDA of the driver", version_text(driver.cuda_version));
  add_fact(info, "CUDA of this backend", version_text(CUDART_VERSION));
  if (!driver.reason.empty() || index < 0 || index >= driver.n_devices) {
    copy_text(info.reason, driver.reason.empty() ? "there is no CUDA device " + std::to_string(index) : driver.reason);
    return;
  }
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    copy_text(info.reason, std::string("the device does not describe itself: ") + cudaGetErrorString(error));
    return;
  }
  copy_text(info.name, properties.name);
  info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  copy_text(info.compute_capability, std::to_string(properties.major) + "." + std::to_string(properties.minor));
  add_fact(info, "multiprocessors", std::to_string(properties.multiProcessorCount));
  Status status;
  const Cublas* cublas = load_cublas(status);
  if (cublas != nullptr) add_fact(info, "cuBLAS", cublas->version + ", " + cublas->path);
  if (10 * properties.major + properties.minor < least_capability) copy_text(info.reason, "the device has compute capability " + std::string(info.compute_capability) + ", this backend has code for 7.5 and newer");
  else if (cublas == nullptr) copy_text(info.reason, status.message);
  else info.usable = 1;
}

}  // namespace bitwright::cuda
