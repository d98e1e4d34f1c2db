// Gives the CUDA words that portkernel emits a meaning on the CPU. The threads of a block are fibers of one operating
// system thread: they run in turn from barrier to barrier; blocks run one after the other. Nothing here is thread-safe.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <sys/mman.h>
#include <tuple>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ thread_local  // static storage that "extern" may stand in front of
#define __CUDA_EMULATION__ 1

struct pk_dim3 { unsigned x, y, z; };
static pk_dim3 threadIdx, blockIdx, blockDim, gridDim;
thread_local unsigned char pk_local[256 * 1024] __attribute__((aligned(128)));

// --- registers and mathematics ---------------------------------------------------------------------------------------

template <class To, class From> static inline To pk_bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "same width");
  To to;
  memcpy(&to, &x, sizeof to);
  return to;
}
static inline unsigned __float_as_uint(float x) { return pk_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return pk_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return pk_bits<float>(x); }
static inline float __int_as_float(int x) { return pk_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return pk_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return pk_bits<double>(x); }
static inline float rsqrt(float x) { return (float)(1.0 / sqrt((double)x)); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }

// --- atomics: one fiber at a time runs, and gives way only at a barrier --------------------------------------------------

#define PK_ATOMIC(name, update)                                                        \
  template <class T, class V> static inline T name(T* p, V value) {           \
    T old = *p, v = (T)value;                                                          \
    *p = (update);                                                                     \
    return old;                                                                        \
  }
PK_ATOMIC(atomicAdd, (T)(old + v))
PK_ATOMIC(atomicMax, old > v ? old : v)
PK_ATOMIC(atomicMin, old < v ? old : v)
PK_ATOMIC(atomicAnd, (T)(old & v))
PK_ATOMIC(atomicOr, (T)(old | v))
PK_ATOMIC(atomicXor, (T)(old ^ v))
PK_ATOMIC(atomicExch, v)
template <class T, class E, class V> static inline T atomicCAS(T* p, E expected, V value) {
  T old = *p;
  if (old == (T)expected) *p = (T)value;
  return old;
}

// --- fibers ------------------------------------------------------------------------------------------------------------

namespace pk_emulation {

constexpr size_t STACK = 512 * 1024;
struct Fiber { void* sp; ucontext_t context; unsigned long barriers; bool done; };
static Fiber* fibers;
static Fiber scheduler;
static unsigned current;
static void (*body)();

#if defined(__x86_64__)
extern "C" void pk_switch(void** save, void* load);
asm(R"(
.text
.local pk_switch
.type pk_switch, @function
pk_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void change(Fiber& from, Fiber& to) { pk_switch(&from.sp, to.sp); }
#else
static void change(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

static void start() {
  body();
  fibers[current].done = true;
  change(fibers[current], scheduler);
  abort();
}

static void prepare(Fiber& f, char* stack) {
  f.barriers = 0;
  f.done = false;
#if defined(__x86_64__)
  void** top = (void**)(stack + STACK) - 3;  // at the entry of a function the stack is 8 bytes off 16
  *top = nullptr;
  *--top = (void*)start;
  f.sp = top - 6;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = stack;
  f.context.uc_stack.ss_size = STACK;
  makecontext(&f.context, start, 0);
#endif
}

// Runs every fiber from barrier to barrier. 0, or 1 if some threads passed a barrier that others did not.
static int run_block(unsigned threads, char* stacks, bool backward) {
  for (unsigned t = 0; t < threads; ++t) prepare(fibers[t], stacks + t * STACK);
  for (unsigned long phase = 0;; ++phase) {
    unsigned done = 0;
    for (unsigned i = 0; i < threads; ++i) {
      current = backward ? threads - 1 - i : i;
      threadIdx = {current, 0, 0};
      change(scheduler, fibers[current]);
      done += fibers[current].done;
    }
    if (done == threads) return 0;
    if (done != 0) return 1;
  }
}

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*(std::remove_reference_t<A>*)args[I]...);
}

template <class... A>
static int launch(void (*kernel)(A...), const unsigned* grid, unsigned threads, int barriers, int backward, void** args) {
  static void (*entry)(A...);
  static void** arguments;
  entry = kernel;
  arguments = args;
  body = [] { call(entry, arguments, std::index_sequence_for<A...>()); };
  blockDim = {threads, 1, 1};
  gridDim = {grid[0], grid[1], grid[2]};
  char* stacks = nullptr;
  if (barriers) {
    fibers = new Fiber[threads];
    stacks = (char*)mmap(nullptr, threads * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return 2;
  }
  int status = 0;
  for (unsigned z = 0; z < grid[2] && !status; ++z)
    for (unsigned y = 0; y < grid[1] && !status; ++y)
      for (unsigned x = 0; x < grid[0] && !status; ++x) {
        blockIdx = {x, y, z};
        if (barriers) {
          status = run_block(threads, stacks, backward != 0);
        } else {
          for (unsigned t = 0; t < threads; ++t) {
            threadIdx = {backward ? threads - 1 - t : t, 0, 0};
            body();
          }
        }
      }
  if (barriers) {
    munmap(stacks, threads * STACK);
    delete[] fibers;
  }
  fflush(stdout);
  return status;
}

}  // namespace pk_emulation

static __attribute__((noinline)) void __syncthreads() {
  using namespace pk_emulation;
  asm volatile("" ::: "memory");
  ++fibers[current].barriers;
  change(fibers[current], scheduler);
  asm volatile("" ::: "memory");
}
