// Prints the nanoseconds that an empty parallel loop takes on all processors: what it costs to begin
// and to end one.
#include <chrono>
#include <cstdio>

#include "thread_pool.h"

int main() {
  using Clock = std::chrono::steady_clock;
  auto& pool = seq2seq::thread_pool();
  constexpr int kLoops = 200000;
  const seq2seq::ThreadPool::KernelScope scope(pool);
  const auto begin = Clock::now();
  for (int i = 0; i < kLoops; ++i) pool.parallel_for(pool.count(), [](int64_t) {});
  const std::chrono::nanoseconds taken = Clock::now() - begin;
  std::printf("%lld\n", static_cast<long long>(taken.count() / kLoops));
}
