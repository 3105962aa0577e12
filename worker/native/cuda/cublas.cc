// Loading cuBLAS: see cublas.h.
#include "cuda/cublas.h"

#include <dlfcn.h>

#include <cstdlib>

#include "cuda/library-search.h"

namespace bitwright::cuda {
namespace {

struct Loaded {
  Cublas functions;
  Status status;
};

template <class Function>
bool bind(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool bind_all(void* library, Cublas& functions) {
  return bind(library, "cublasCreate_v2", functions.create) && bind(library, "cublasDestroy_v2", functions.destroy) && bind(library, "cublasSetStream_v2", functions.set_stream) &&
         bind(library, "cublasSetWorkspace_v2", functions.set_workspace) && bind(library, "cublasGetVersion_v2", functions.get_version) &&
         bind(library, "cublasGetProperty", functions.get_property) && bind(library, "cublasGemmEx", functions.gemm_ex);
}

Loaded load() {
  Loaded loaded;
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  const std::vector<std::string> folders = library_folders(environment);
  std::string last;
  for (const char* major : {"13", "12"})
    for (const std::string& folder : folders) {
      // cuBLAS asks for cublasLt by its plain name: loaded from beside it, it is there already.
      const std::string prefix = folder.empty() ? "" : folder + "/";
      dlopen((prefix + "libcublasLt.so." + major).c_str(), RTLD_NOW | RTLD_LOCAL);
      void* library = dlopen((prefix + "libcublas.so." + major).c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) {
        if (const char* why = dlerror(); why != nullptr) last = why;
        continue;
      }
      if (!bind_all(library, loaded.functions)) {
        last = prefix + "libcublas.so." + major + " lacks a function that is needed";
        continue;
      }
      Dl_info info;
      if (dladdr(reinterpret_cast<void*>(loaded.functions.create), &info) != 0 && info.dli_fname != nullptr) loaded.functions.path = info.dli_fname;
      int parts[3] = {};
      for (int i = 0; i < 3; ++i) loaded.functions.get_property(i, &parts[i]);
      loaded.functions.version = std::to_string(parts[0]) + "." + std::to_string(parts[1]) + "." + std::to_string(parts[2]);
      return loaded;
    }
  std::string searched = "the system's library path";
  for (const std::string& folder : folders)
    if (!folder.empty()) searched += ", " + folder;
  loaded.status = Status::error("cuBLAS was not found: neither libcublas.so.13 nor libcublas.so.12 can be loaded from " + searched +
                                "; install the CUDA toolkit or the Python package nvidia-cublas, or name its folder in BITWRIGHT_CUDA_LIBRARIES (the last answer was: " + last + ")");
  return loaded;
}

}  // namespace

const Cublas* load_cublas(Status& status) {
  static const Loaded loaded = load();
  status = loaded.status;
  return loaded.status.ok() ? &loaded.functions : nullptr;
}

}  // namespace bitwright::cuda
