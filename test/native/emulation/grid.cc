// Blocks of threads as fibers: see cuda_runtime_api.h. One block at a time, so that a block's shared memory may be static; a thread runs until it meets a barrier. Fibers are begun
// by ucontext and switched by setjmp, which leaves the signal mask alone and so makes no system call.
#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime_api.h"
#include "races.h"

namespace emulation {

dim3 thread_index, block_index, block_size, grid_size;
unsigned char* dynamic_shared = nullptr;

namespace {

constexpr size_t stack_bytes = 128 << 10;
constexpr unsigned lanes = 32;

enum class State { runnable, at_block_barrier, at_warp_barrier, ended };

/// A fiber runs one thread after the other until one meets a barrier; that one then owns it. One that has no thread waits for those of the next block: to begin it again would take system calls.
struct Fiber {
  bool has_begun = false;
  ucontext_t start;
  jmp_buf here;
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
};

struct Thread {
  State state = State::ended;
  Fiber* fiber = nullptr;
  bool odd_exchange = false;
};

std::vector<std::unique_ptr<Fiber>> idle;
std::vector<Thread> threads;
std::vector<uint32_t> words;
std::vector<unsigned char> shared;
jmp_buf scheduler;
unsigned current = 0, next = 0;
const std::function<void()>* work = nullptr;

void become(unsigned i) {
  current = i;
  thread_index = dim3(i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y);
}

void enter() {
  while (true) {
    Fiber* const own = threads[current].fiber;
    (*work)();
    threads[current].state = State::ended;
    threads[current].fiber = nullptr;
    if (next == threads.size()) {
      idle.emplace_back(own);
      if (_setjmp(own->here) == 0) _longjmp(scheduler, 1);
    } else {
      become(next++);
      threads[current].fiber = own;
    }
  }
}

void wait(State state) {
  Thread& own = threads[current];
  own.state = state;
  if (_setjmp(own.fiber->here) == 0) _longjmp(scheduler, 1);
}

/// Goes on with a fiber. A function of its own: what its caller holds in registers is as it was when it comes back.
__attribute__((noinline)) void go_on(Fiber* fiber) {
  if (_setjmp(scheduler) == 0) _longjmp(fiber->here, 1);
}

/// Begins the next thread, and those after it up to the first that waits.
__attribute__((noinline)) void begin() {
  if (idle.empty()) idle.push_back(std::make_unique<Fiber>());
  Fiber* const fiber = idle.back().release();
  idle.pop_back();
  become(next++);
  threads[current].fiber = fiber;
  if (fiber->has_begun) return go_on(fiber);
  fiber->has_begun = true;
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->stack.get();
  fiber->start.uc_stack.ss_size = stack_bytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, enter, 0);
  if (_setjmp(scheduler) == 0) setcontext(&fiber->start);
}

/// Lets threads go on when all of them that have not ended wait at this barrier.
void release(unsigned first, unsigned end, State barrier) {
  for (unsigned i = first; i < end; ++i)
    if (threads[i].state != barrier && threads[i].state != State::ended) return;
  bool has_released = false;
  for (unsigned i = first; i < end; ++i)
    if (threads[i].state == barrier) {
      threads[i].state = State::runnable;
      has_released = true;
    }
  if (has_released && barrier == State::at_block_barrier) races_cross_barrier();
}

void run_block() {
  const unsigned n = static_cast<unsigned>(threads.size());
  for (Thread& thread : threads) thread = {State::runnable, nullptr, false};
  next = 0;
  races_begin_block();
  while (next < n) begin();
  bool ran = true;
  while (ran) {
    release(0, n, State::at_block_barrier);
    for (unsigned warp = 0; warp < n; warp += lanes) release(warp, warp + lanes < n ? warp + lanes : n, State::at_warp_barrier);
    ran = false;
    for (unsigned i = 0; i < n; ++i)
      if (threads[i].state == State::runnable) {
        become(i);
        go_on(threads[i].fiber);
        ran = true;
      }
  }
  for (const Thread& thread : threads)
    if (thread.state != State::ended) {
      std::fprintf(stderr, "emulation: threads of a block wait at different barriers\n");
      std::abort();
    }
}

}  // namespace

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  // Several devices have a thread each, and what stands above, like the shared memory of kernels, is there once.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const unsigned n_threads = block.x * block.y * block.z;
  threads.assign(n_threads, {});
  words.assign(2 * (n_threads + lanes), 0);
  shared.assign(shared_bytes, 0xcb);
  dynamic_shared = shared.data();
  work = &thread;
  block_size = block;
  grid_size = grid;
  races_begin_launch(shared.data(), shared.size());
  races_watch(true);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = dim3(x, y, z);
        run_block();
      }
  races_watch(false);
}

void block_barrier() { wait(State::at_block_barrier); }
uint32_t exchange(uint32_t word, int distance) {
  // Two rows of words for each warp, in turns: one barrier is enough, as who writes a row again has met the barrier of the exchange between, and so have all who read it.
  bool& odd = threads[current].odd_exchange;
  odd = !odd;
  uint32_t* const row = words.data() + (2 * (current / lanes) + (odd ? 1 : 0)) * lanes;
  const unsigned lane = current % lanes;
  row[lane] = word;
  wait(State::at_warp_barrier);
  return row[lane ^ static_cast<unsigned>(distance)];
}
unsigned running_thread() { return current; }
bool is_on_running_stack(const void* memory) {
  const char* const stack = threads[current].fiber->stack.get();
  return memory >= stack && memory < stack + stack_bytes;
}

}  // namespace emulation
