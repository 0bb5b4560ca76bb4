// Loops over all elements of an array, on all threads, in parts of 16,384 elements.
#pragma once

#include <algorithm>
#include <type_traits>

#include "buffer.h"
#include "simd.h"
#include "thread_pool.h"

namespace seq2seq {

// Calls `body(position, count)` for each vector of `size` elements.
template <typename Body>
void parallel_for_vectors(ThreadPool& pool, int64_t size, const Body& body) {
  constexpr int64_t kPart = 1 << 14;
  pool.parallel_for((size + kPart - 1) / kPart, [&](int64_t part) {
    const int64_t begin = part * kPart;
    for_each_vector(std::min(size - begin, kPart), [&](int64_t i, int n) { body(begin + i, n); });
  });
}

// Where a float32 result is written that becomes a tensor of type T: the tensor itself if T is
// float, else memory of its own, from which `finish` converts.
template <typename T>
class OutputConverter {
 public:
  OutputConverter(T* to, int64_t size)
      : to_(to), size_(size), memory_(std::is_same_v<T, float> ? 0 : size) {}

  float* data() const {
    if constexpr (std::is_same_v<T, float>) return to_;
    return memory_.data();
  }
  void finish(ThreadPool& pool) const {
    if constexpr (!std::is_same_v<T, float>) {
      parallel_for_vectors(pool, size_, [&](int64_t i, int count) {
        store(to_ + i, load(memory_.data() + i, count), count);
      });
    }
  }

 private:
  T* to_;
  int64_t size_;
  Buffer memory_;
};

}  // namespace seq2seq
