// Cuts a range into as few parts as possible, none above a limit, all of nearly the same size.
//
//   Partition(10, 4):   |0 1 2|3 4 5|6 7 8 9|    count 3
#pragma once

#include <cstdint>

namespace seq2seq {

struct Partition {
  int64_t size, count;
  Partition(int64_t size, int64_t largest) : size(size), count((size + largest - 1) / largest) {}
  int64_t begin(int64_t part) const { return size * part / count; }
  int64_t length(int64_t part) const { return begin(part + 1) - begin(part); }
};

}  // namespace seq2seq
