// What this machine offers, for `bitwright devices`.
#pragma once
#include <istream>
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

/// Name, cores and instruction sets as Linux tells them in /proc/cpuinfo, of a process that sees so many logical processors.
CpuInfo cpu_info_from(std::istream& cpuinfo, int n_visible);

/// Read once from /proc.
const CpuInfo& cpu_info();

}  // namespace bitwright
