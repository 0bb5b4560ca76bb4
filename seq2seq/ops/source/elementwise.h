// Loops over all elements of an array, on all threads.
#pragma once

#include <algorithm>

#include "buffer.h"
#include "threads.h"
#include "vector.h"

namespace seq2seq {

// Calls `task` with the position and the size of every vector of `size` elements.
template <typename Task>
void run_vectors(Threads& threads, int64_t size, const Task& task) {
  constexpr int64_t kPiece = 1 << 14;
  threads.run((size + kPiece - 1) / kPiece, [&](int64_t piece) {
    const int64_t begin = piece * kPiece;
    each_vector(std::min(size - begin, kPiece), [&](int64_t i, int n) { task(begin + i, n); });
  });
}

// Where floats are to be written that become a tensor of T: there, or in memory of its own, from
// which `finish` rounds them.
template <typename T>
class Rounding {
 public:
  Rounding(T* to, int64_t size)
      : to_(to), size_(size), memory_(std::is_same_v<T, float> ? 0 : size) {}

  float* data() const {
    if constexpr (std::is_same_v<T, float>) return to_;
    return memory_.data();
  }
  void finish(Threads& threads) const {
    if constexpr (!std::is_same_v<T, float>) {
      run_vectors(threads, size_, [&](int64_t i, int count) {
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
