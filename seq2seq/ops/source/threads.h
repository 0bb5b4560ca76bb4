// A pool of threads that share the iterations of short loops.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace seq2seq {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Takes numbers too small for a full mantissa as zero on this thread, as TensorFlow's kernels do:
// vanishing gradients would be a hundred times slower. Set back at the end of the scope.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before_ | 0x8040); }
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(before_); }

 private:
  unsigned before_;
#endif
};

// The loops of one kernel follow each other within microseconds, so that a worker looks out for the
// next one for a while before it sleeps. A worker that comes too late for a loop leaves it to the
// others: nobody waits for a thread that the system has not scheduled. The threads live as long as
// the process.
class Threads {
 public:
  explicit Threads(int count) {
    for (int i = 1; i < count; ++i) workers_.emplace_back([this] { work(); });
  }

  int count() const { return static_cast<int>(workers_.size()) + 1; }

  // One kernel's turn: only one at a time may call `run`.
  class Turn {
   public:
    explicit Turn(Threads& threads) : lock_(threads.turn_) {}

   private:
    std::lock_guard<std::mutex> lock_;
    FlushDenormals flush_;
  };

  // Calls `task` with every number below `count`; returns when all calls have returned.
  template <typename Task>
  void run(int64_t count, const Task& task) {
    if (count <= 1 || workers_.empty()) {
      for (int64_t i = 0; i < count; ++i) task(i);
      return;
    }
    task_ = [&task](int64_t i) { task(i); };
    count_ = count;
    next_ = 0;
    state_.store(((state_.load() >> kEpochShift) + 1) << kEpochShift | kOpen);
    if (sleepers_.load() > 0) {
      { std::lock_guard<std::mutex> lock(sleep_mutex_); }
      wake_.notify_all();
    }
    help();
    state_.fetch_and(~kOpen);
    for (int spins = 0; state_.load() & kJoined; ++spins) spins < kSpins ? pause() : yield();
  }

 private:
  // The number of the loop, whether it may still be joined, and by how many it is.
  static constexpr uint64_t kJoined = 0xffff, kOpen = 0x10000;
  static constexpr int kEpochShift = 20, kSpins = 4000;

  static void yield() { std::this_thread::yield(); }

  void help() {
    for (int64_t i; (i = next_.fetch_add(1)) < count_;) task_(i);
  }

  bool news(uint64_t seen) const {
    const uint64_t state = state_.load();
    return (state & kOpen) && (state >> kEpochShift) != seen;
  }

  void work() {
    const FlushDenormals flush;
    uint64_t seen = 0;
    for (;;) {
      for (int spins = 0; spins < kSpins && !news(seen); ++spins) pause();
      if (!news(seen)) {
        std::unique_lock<std::mutex> lock(sleep_mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return news(seen); });
        sleepers_.fetch_sub(1);
      }
      uint64_t state = state_.load();
      if (!(state & kOpen) || !state_.compare_exchange_strong(state, state + 1)) continue;
      seen = state >> kEpochShift;
      help();
      state_.fetch_sub(1);
    }
  }

  std::function<void(int64_t)> task_;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> state_{0};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_mutex_, turn_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

// The processors this process may run on, or fewer where TensorFlow was told so.
inline int available_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  const char* asked = std::getenv("TF_NUM_INTRAOP_THREADS");
  if (asked != nullptr && std::atoi(asked) > 0) count = std::min(count, std::atoi(asked));
  return std::max(count, 1);
}

// The pool that all kernels of this process share.
inline Threads& threads() {
  static Threads& pool = *new Threads(available_processors());
  return pool;
}

// No more than the thread that asks.
inline Threads& this_thread() {
  static Threads& none = *new Threads(1);
  return none;
}

// Half of their number, twice.
inline Threads& half_of_threads(int which) {
  static Threads* const halves[] = {new Threads(std::max(1, threads().count() / 2)),
                                    new Threads((threads().count() + 1) / 2)};
  return *halves[which];
}

// Calls `task` with 0 and 1 and a half of the threads for each: two long loops side by side need not
// wait for each other at every step.
template <typename Task>
void run_side_by_side(const Task& task) {
  threads().run(2, [&](int64_t i) {
    const auto half = static_cast<int>(i);
    task(half, half_of_threads(half));
  });
}

}  // namespace seq2seq
