// What this machine offers: see device-info.h.
#include "device-info.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "core/gemm.h"

namespace bitwright {
namespace {

std::string value_of(const std::string& line) {
  const size_t colon = line.find(':');
  return colon == std::string::npos || colon + 2 > line.size() ? std::string() : line.substr(colon + 2);
}

/// On arm64 Linux tells numbers in place of a name (MIDR: who made it, and what). A lock compares names, so one that is not listed keeps its numbers.
std::string arm_name(const std::string& implementer, const std::string& part) {
  static const std::map<std::string, const char*> names = {
      {"0x41 0xd03", "Arm Cortex-A53"},   {"0x41 0xd05", "Arm Cortex-A55"},   {"0x41 0xd07", "Arm Cortex-A57"},   {"0x41 0xd08", "Arm Cortex-A72"},   {"0x41 0xd0b", "Arm Cortex-A76"},
      {"0x41 0xd0c", "Arm Neoverse-N1"},  {"0x41 0xd40", "Arm Neoverse-V1"},  {"0x41 0xd49", "Arm Neoverse-N2"},  {"0x41 0xd4f", "Arm Neoverse-V2"},  {"0x41 0xd84", "Arm Neoverse-V3"},
      {"0x41 0xd8e", "Arm Neoverse-N3"},  {"0x46 0x001", "Fujitsu A64FX"},    {"0xc0 0xac3", "Ampere-1"},         {"0xc0 0xac4", "Ampere-1A"}};
  const auto known = names.find(implementer + " " + part);
  return known != names.end() ? known->second : "arm64 processor, implementer " + implementer + ", part " + part;
}

CpuInfo read_cpu_info() {
  std::ifstream file("/proc/cpuinfo");
  CpuInfo info = cpu_info_from(file, std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  info.memory_bytes = static_cast<long long>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  info.details.emplace_back("matrix products", std::string("OpenBLAS, kernels of ") + blas_kernels());
  info.details.emplace_back("physical cores", std::to_string(info.n_physical_cores));
  return info;
}

}  // namespace

CpuInfo cpu_info_from(std::istream& cpuinfo, int n_visible) {
  CpuInfo info;
  std::set<std::string> cores, arm_names;
  std::string line, socket, flags, implementer;
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0 && info.name.empty()) info.name = value_of(line);
    if (line.rfind("physical id", 0) == 0) socket = value_of(line);
    if (line.rfind("core id", 0) == 0) cores.insert(socket + "/" + value_of(line));
    if (line.rfind("CPU implementer", 0) == 0) implementer = value_of(line);
    if (line.rfind("CPU part", 0) == 0) arm_names.insert(arm_name(implementer, value_of(line)));
    if ((line.rfind("flags", 0) == 0 || line.rfind("Features", 0) == 0) && flags.empty()) flags = std::string(" ").append(value_of(line)) + " ";
  }
  // Kinds of cores that stand side by side.
  if (info.name.empty())
    for (const std::string& name : arm_names) info.name.append(info.name.empty() ? "" : " + ").append(name);
  if (info.name.empty()) info.name = "CPU";
  info.n_physical_cores = cores.empty() ? n_visible : std::clamp(static_cast<int>(cores.size()), 1, n_visible);
  std::string sets;
  for (const char* name : {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"})
    if (flags.find(std::string(" ") + name + " ") != std::string::npos) sets.append(sets.empty() ? "" : " ").append(name);
  info.details.emplace_back("instruction sets", sets.empty() ? "baseline" : sets);
  return info;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace bitwright
