// What this machine offers, for `bitwright devices`.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace bitwright {

struct CpuInfo {
  std::string name;
  int n_physical_cores = 1;
  long long memory_bytes = 0;
  std::vector<std::pair<std::string, std::string>> details;
};

/// Read once from /proc.
const CpuInfo& cpu_info();

}  // namespace bitwright
