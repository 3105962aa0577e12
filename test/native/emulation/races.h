// What grid.cc tells races.cc, where the library is one that looks for races, and what races.cc asks of it.
#pragma once
#include <cstddef>

namespace emulation {

#ifdef BITWRIGHT_EMULATED_RACES
void races_begin_launch(const void* dynamic_shared, size_t bytes);
void races_begin_block();
void races_cross_barrier();
/// Whether the thread of the host that calls is running a grid from now on.
void races_watch(bool on);
#else
inline void races_begin_launch(const void*, size_t) {}
inline void races_begin_block() {}
inline void races_cross_barrier() {}
inline void races_watch(bool) {}
#endif

/// Of the thread that is running, its number in its block, and whether something is its own.
unsigned running_thread();
bool is_on_running_stack(const void* memory);

}  // namespace emulation
