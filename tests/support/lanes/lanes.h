// A GPU of fibers. A threadgroup's lanes share one thread: each runs until it waits for others, and in every round they come in another
// order, so that what lacks a barrier gives another result. Lanes that wait for ever are found, and told of.
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>


namespace {  // so that libraries that are loaded together share nothing

struct uint3 {
  unsigned x, y, z;
};

struct float16_t {
  uint16_t bits;
  operator float() const {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? __builtin_nanf("") : sign * __builtin_inff();
    return exponent ? sign * __builtin_ldexpf(1024.0f + fraction, exponent - 25) : sign * __builtin_ldexpf(float(fraction), -24);
  }
};

struct bfloat16_t {
  uint16_t bits;
  operator float() const {
    const uint32_t wide = uint32_t(bits) << 16;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    return value;
  }
};

float exp(float x) { return __builtin_expf(x); }
float log(float x) { return __builtin_logf(x); }

namespace lanes {

constexpr int STACK = 256 * 1024;
constexpr int MOST = 1024;

struct Lane {
  ucontext_t context;
  jmp_buf at;
  bool has_begun = false, has_ended = true;
  unsigned index = 0;
};

Lane all[MOST];
Lane* current;
uint3 group, groups, threads;
jmp_buf scheduler;
bool has_moved;
void (*kernel)();
uint32_t random_state;

uint3 position() { return {group.x * threads.x + current->index, group.y, group.z}; }  // of a threadgroup [threads, 1, 1]

uint32_t random_below(uint32_t bound) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % bound;
}

void shuffle(unsigned* items, unsigned count) {
  for (unsigned i = count; i > 1; --i) {
    const unsigned other = random_below(i), moved = items[i - 1];
    items[i - 1] = items[other];
    items[other] = moved;
  }
}

__attribute__((noinline)) void pause() {
  if (_setjmp(current->at) == 0) _longjmp(scheduler, 1);
}

struct Meeting {
  int size = 0, arrived = 0;
  unsigned generation = 0;

  void meet() {
    const unsigned mine = generation;
    if (++arrived == size) {
      arrived = 0;
      ++generation;
      has_moved = true;
    }
    while (generation == mine) pause();
  }
};

struct Simdgroup {
  Meeting meeting;
  float given[2][32];  // two places, for a lane may be one exchange ahead of another
};

Meeting everyone;
Simdgroup simdgroups[32];

void life() {
  for (;;) {
    kernel();
    current->has_ended = true;
    has_moved = true;
    pause();
  }
}

__attribute__((noinline)) void resume(Lane* lane) {
  current = lane;
  if (_setjmp(scheduler) != 0) return;
  if (lane->has_begun) _longjmp(lane->at, 1);
  lane->has_begun = true;
  getcontext(&lane->context);
  lane->context.uc_stack.ss_sp = malloc(STACK);
  lane->context.uc_stack.ss_size = STACK;
  lane->context.uc_link = nullptr;
  makecontext(&lane->context, life, 0);
  setcontext(&lane->context);
}

// Returns what the lanes of a simdgroup give each other.
const float* exchanged(float value) {
  Simdgroup& mine = simdgroups[current->index / 32];
  float* given = mine.given[mine.meeting.generation % 2];
  given[current->index % 32] = value;
  mine.meeting.meet();
  return given;
}

// Returns false where lanes wait for others that have ended.
bool run_group(unsigned count) {
  unsigned waiting[MOST], left = count;
  everyone = {int(count)};
  for (unsigned i = 0; i < count; ++i) {
    all[i].index = waiting[i] = i;
    all[i].has_ended = false;
    simdgroups[i / 32].meeting = {count - i / 32 * 32 < 32 ? int(count % 32) : 32};
  }
  while (left > 0) {
    shuffle(waiting, left);
    has_moved = false;
    for (unsigned i = 0; i < left; ++i) resume(&all[waiting[i]]);
    if (!has_moved) return false;
    unsigned kept = 0;
    for (unsigned i = 0; i < left; ++i)
      if (!all[waiting[i]].has_ended) waiting[kept++] = waiting[i];
    left = kept;
  }
  return true;
}

// Runs the kernel over the grid, its threadgroups in any order.
bool run(void (*body)(), uint3 grid, uint3 threadgroup_size, uint32_t seed) {
  kernel = body;
  random_state = seed;
  threads = threadgroup_size;
  groups = {(grid.x + threads.x - 1) / threads.x, grid.y, grid.z};
  const unsigned count = groups.x * groups.y * groups.z;
  unsigned* order = static_cast<unsigned*>(malloc(count * sizeof(unsigned)));
  for (unsigned i = 0; i < count; ++i) order[i] = i;
  shuffle(order, count);
  bool is_done = true;
  for (unsigned i = 0; i < count && is_done; ++i) {
    group = {order[i] % groups.x, order[i] / groups.x % groups.y, order[i] / groups.x / groups.y};
    is_done = run_group(threads.x);
  }
  free(order);
  return is_done;
}

}  // namespace lanes

}  // namespace
