// What /proc/cpuinfo says of a processor, as kernels of x86-64 and arm64 write it.
#include <sstream>

#include "binding/device-info.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

bitwright::CpuInfo info_of(const std::string& cpuinfo, int n_visible) {
  std::istringstream text(cpuinfo);
  return bitwright::cpu_info_from(text, n_visible);
}

std::string arm_core(const std::string& implementer, const std::string& part) {
  return "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd aes crc32 atomics fphp asimdhp asimddp sve i8mm bf16\nCPU implementer\t: " + implementer +
         "\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: " + part + "\nCPU revision\t: 1\n\n";
}

void expect_text(const std::string& found, const std::string& wanted) { expect(found == wanted, "\"" + found + "\" where \"" + wanted + "\" was expected"); }

const Case x86_cases("a processor of x86-64 has its model name, its cores without their second threads, and its instruction sets", [] {
  std::string text;
  for (const char* id : {"0", "1", "0", "1"}) text += "model name\t: AMD EPYC 9654\nphysical id\t: 0\ncore id\t\t: " + std::string(id) + "\nflags\t\t: fpu avx2 fma avx512f\n\n";
  const bitwright::CpuInfo info = info_of(text, 4);
  expect_text(info.name, "AMD EPYC 9654");
  expect(info.n_physical_cores == 2, std::to_string(info.n_physical_cores) + " cores");
  expect_text(info.details.at(0).second, "avx2 fma avx512f");
}, Where::once);

const Case arm_cases("a processor of arm64, which Linux gives no name, has one that tells it from others: a lock compares it", [] {
  const bitwright::CpuInfo info = info_of(arm_core("0x41", "0xd0c") + arm_core("0x41", "0xd0c"), 2);
  expect_text(info.name, "Arm Neoverse-N1");
  expect(info.n_physical_cores == 2, std::to_string(info.n_physical_cores) + " cores");
  expect_text(info.details.at(0).second, "asimd asimddp i8mm bf16 sve");
  expect_text(info_of(arm_core("0x41", "0xd05") + arm_core("0x41", "0xd0b"), 2).name, "Arm Cortex-A55 + Arm Cortex-A76");
  expect_text(info_of(arm_core("0x61", "0x022"), 1).name, "arm64 processor, implementer 0x61, part 0x022");
  expect_text(info_of("", 3).name, "CPU");
}, Where::once);

}  // namespace
