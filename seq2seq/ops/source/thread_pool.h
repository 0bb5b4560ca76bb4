// The threads that all kernels share, for short parallel loops.
//
// The loops of a kernel follow each other within microseconds, so that a worker spins for a while
// before it sleeps. Iterations are handed out one by one. A worker that comes too late for a loop
// leaves it to the others: nobody waits for a thread that the system has not scheduled. The threads
// live as long as the process.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "loop_trace.h"

namespace seq2seq {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Makes this thread take denormal numbers as zero, as TensorFlow's kernels do: vanishing gradients
// would be a hundred times slower. Restores the thread's setting at the end of the scope.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : previous_(__builtin_ia32_stmxcsr()) {
    __builtin_ia32_ldmxcsr(previous_ | kFlushToZero | kDenormalsAreZero);
  }
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(previous_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  unsigned previous_;
#endif
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads) : threads_(threads) {
    for (int i = 1; i < threads && !kTraceLoops; ++i) workers_.emplace_back([this] { work(); });
  }

  int count() const { return threads_; }

  // What a kernel holds while it calls `parallel_for`: only one kernel may at a time.
  class KernelScope {
   public:
    explicit KernelScope(ThreadPool& pool, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE())
        : lock_(pool.kernel_mutex_), traced_(0, file, line) {}

   private:
    std::lock_guard<std::mutex> lock_;
    FlushDenormals flush_;
    Traced traced_;
  };

  // Calls `body(i)` for every i below `count`; returns when all calls have returned.
  template <typename Body>
  void parallel_for(int64_t count, const Body& body, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
    const Traced traced(count, file, line);
    if (count <= 1 || workers_.empty()) {
      for (int64_t i = 0; i < count; ++i) body(i);
      return;
    }
    body_ = [&body](int64_t i) { body(i); };
    count_ = count;
    next_ = 0;
    state_.store(((state_.load() >> kLoopShift) + 1) << kLoopShift | kOpen);
    if (sleepers_.load() > 0) {
      {
        std::lock_guard<std::mutex> lock(sleep_mutex_);
      }
      wake_.notify_all();
    }
    run_iterations();
    state_.fetch_and(~kOpen);
    for (int spins = 0; state_.load() & kWorkers; ++spins) spins < kSpins ? pause() : yield();
  }

 private:
  // The state: from the lowest bit on, how many workers are in the loop, whether it may be joined,
  // and its number.
  static constexpr uint64_t kWorkers = 0xffff, kOpen = 0x10000;
  static constexpr int kLoopShift = 20, kSpins = 4000;

  static void yield() { std::this_thread::yield(); }

  void run_iterations() {
    for (int64_t i; (i = next_.fetch_add(1)) < count_;) body_(i);
  }

  bool has_loop_after(uint64_t last_loop) const {
    const uint64_t state = state_.load();
    return (state & kOpen) && (state >> kLoopShift) != last_loop;
  }

  void work() {
    const FlushDenormals flush;
    uint64_t last_loop = 0;
    for (;;) {
      for (int spins = 0; spins < kSpins && !has_loop_after(last_loop); ++spins) pause();
      if (!has_loop_after(last_loop)) {
        std::unique_lock<std::mutex> lock(sleep_mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return has_loop_after(last_loop); });
        sleepers_.fetch_sub(1);
      }
      uint64_t state = state_.load();
      if (!(state & kOpen) || !state_.compare_exchange_strong(state, state + 1)) continue;
      last_loop = state >> kLoopShift;
      run_iterations();
      state_.fetch_sub(1);
    }
  }

  const int threads_;
  std::function<void(int64_t)> body_;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> state_{0};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_mutex_, kernel_mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

// How many processors a cgroup (a container) may use, by its file `cpu.max`, which has the
// microseconds in a period and the period, or "max"; 0 if there is no limit.
inline int64_t cgroup_processors(const char* path) {
  std::ifstream file(path);
  int64_t quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? (quota + period - 1) / period : 0;
}

// The processors that this process may run on, by its affinity and its cgroup; fewer if the variable
// SEQ2SEQ_THREADS or TensorFlow's own limits the threads.
inline int available_processors() {
  int64_t count = std::thread::hardware_concurrency();
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  int64_t limits[] = {cgroup_processors("/sys/fs/cgroup/cpu.max"), 0, 0};
  const char* const variables[] = {"SEQ2SEQ_THREADS", "TF_NUM_INTRAOP_THREADS"};
  for (int i = 0; i < 2; ++i) {
    const char* value = std::getenv(variables[i]);
    if (value != nullptr) limits[i + 1] = std::strtol(value, nullptr, 10);
  }
  if (kTraceLoops && limits[1] > 0) return static_cast<int>(limits[1]);
  for (const int64_t limit : limits) {
    if (limit > 0) count = std::min(count, limit);
  }
  return static_cast<int>(std::max<int64_t>(count, 1));
}

// The pool of this process.
inline ThreadPool& thread_pool() {
  static ThreadPool& pool = *new ThreadPool(available_processors());
  return pool;
}

// A pool without workers: loops run on the calling thread.
inline ThreadPool& single_thread() {
  static ThreadPool& pool = *new ThreadPool(1);
  return pool;
}

// Two pools of half as many threads each.
inline ThreadPool& half_pool(int which) {
  static ThreadPool* const halves[] = {new ThreadPool(std::max(1, thread_pool().count() / 2)),
                                       new ThreadPool((thread_pool().count() + 1) / 2)};
  return *halves[which];
}

// Calls `task(0, pool)` and `task(1, pool)` side by side, with half of the threads each: two long
// sequences of loops that do not wait for each other.
template <typename Task>
void run_on_halves(const Task& task) {
  thread_pool().parallel_for(2, [&](int64_t i) {
    const auto half = static_cast<int>(i);
    task(half, half_pool(half));
  });
}

}  // namespace seq2seq
