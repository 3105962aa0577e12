// The devices that this addon can open: the processor, and those of the backend libraries beside it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/library-backend.h"

namespace bitwright {

struct ListedDevice {
  std::string kind;
  int index = 0;
  DeviceFacts facts;
};

/// Every device, usable or not; loads the backend libraries.
std::vector<ListedDevice> list_devices();

struct OpenedBackend {
  std::unique_ptr<Backend> backend;
  std::string name;
  int n_threads = 1;
};

/// n_threads counts for the processor alone; 0: one per physical core.
Status open_backend(const std::string& kind, int index, int n_threads, OpenedBackend& opened);

}  // namespace bitwright
