// What looks for races between the threads of a grid (emulation/races.cc) finds those that are planted for it, and no others.
#include <dlfcn.h>

#include "runner.h"

using namespace bitwright_test;

namespace {

const Case planted_cases(
    "races between threads of a block, between blocks and behind an exchange in a warp are found; barriers and atomic additions are none",
    [] {
      const std::string path = BITWRIGHT_RACES_LIBRARY;
      if (path.empty()) throw Skipped{"this build has no emulation that looks for races (BITWRIGHT_EMULATED_RACES=OFF, or another compiler than GCC)"};
      void* const library = dlopen(path.c_str(), RTLD_NOW);
      expect(library != nullptr, library == nullptr ? dlerror() : "");
      const auto planted = reinterpret_cast<void (*)(int)>(dlsym(library, "bitwright_emulated_planted"));
      const auto races = reinterpret_cast<const char* (*)()>(dlsym(library, "bitwright_emulated_races"));
      const std::string expected[] = {"", "shared memory", "device memory", "shared memory", "shared memory", "", "device memory"};
      for (int kernel = 0; kernel < 7; ++kernel) {
        planted(kernel);
        const std::string found = races(), wanted = expected[kernel];
        expect(wanted.empty() ? found.empty() : found.find(wanted) != std::string::npos, "kernel " + std::to_string(kernel) + ": \"" + found + "\" where a race in \"" + wanted + "\" was planted");
      }
    },
    Where::once);

}  // namespace
