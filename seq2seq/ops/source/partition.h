// Cuts a range into as few parts as possible, none above a limit, all of nearly the same size; of
// whole units, but for the last one. A limit is at least a unit.
//
//   Partition(10, 4):      |0 1 2|3 4 5|6 7 8 9|      count 3
//   Partition(10, 4, 2):   |0 1|2 3 4 5|6 7 8 9|
#pragma once

#include <algorithm>
#include <cstdint>

namespace seq2seq {

struct Partition {
  int64_t size, count;
  Partition(int64_t size, int64_t largest, int64_t unit = 1)
      : size(size),
        count(((size + unit - 1) / unit + largest / unit - 1) / (largest / unit)),
        unit_(unit),
        units_((size + unit - 1) / unit) {}
  int64_t begin(int64_t part) const { return std::min(size, units_ * part / count * unit_); }
  int64_t length(int64_t part) const { return begin(part + 1) - begin(part); }

 private:
  int64_t unit_, units_;
};

}  // namespace seq2seq
