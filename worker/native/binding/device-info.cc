// What this machine offers: see device-info.h.
#include "device-info.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>

#include "core/gemm.h"

namespace bitwright {
namespace {

std::string value_of(const std::string& line) {
  const size_t colon = line.find(':');
  return colon == std::string::npos || colon + 2 > line.size() ? std::string() : line.substr(colon + 2);
}

CpuInfo read_cpu_info() {
  CpuInfo info;
  std::set<std::string> cores;
  std::string line, socket, flags;
  std::ifstream file("/proc/cpuinfo");
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) == 0 && info.name.empty()) info.name = value_of(line);
    if (line.rfind("physical id", 0) == 0) socket = value_of(line);
    if (line.rfind("core id", 0) == 0) cores.insert(socket + "/" + value_of(line));
    if (line.rfind("flags", 0) == 0 && flags.empty()) flags = value_of(line) + " ";
  }
  const int n_visible = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  info.n_physical_cores = cores.empty() ? n_visible : std::clamp(static_cast<int>(cores.size()), 1, n_visible);
  if (info.name.empty()) info.name = "CPU";
  info.memory_bytes = static_cast<long long>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  std::string sets;
  for (const char* name : {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"})
    if ((" " + flags).find(std::string(" ") + name + " ") != std::string::npos) sets += (sets.empty() ? "" : " ") + std::string(name);
  info.details.emplace_back("instruction sets", sets.empty() ? "baseline" : sets);
  info.details.emplace_back("matrix products", std::string("OpenBLAS, kernels of ") + blas_kernels());
  info.details.emplace_back("physical cores", std::to_string(info.n_physical_cores));
  return info;
}

}  // namespace

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace bitwright
