// Weights of bfloat16 values in half of their memory, for products of few rows.
#pragma once

#include <atomic>

#include "few_rows.h"

namespace seq2seq {

// A matrix rounded to bfloat16, two elements in a word: the first vector of a pair in the lower
// halves of a vector of words, the second in the upper ones. A pair are two rows; of a transposed
// matrix, two vectors that follow each other in a row.
class Halved {
 public:
  // Whether there can be one of these sizes.
  static bool fits(int64_t depth, int64_t columns) {
    return depth % (2 * kLines) == 0 && depth % (2 * kLanes) == 0 && columns % kLanes == 0;
  }

  // Whether nothing seems to be lost by rounding.
  static bool promising(const float* matrix, int64_t depth, int64_t columns) {
    constexpr int64_t kLooked = 1024;
    uint32_t seen = 0;
    for (int64_t i = 0; i < std::min(kLooked, depth * columns); ++i) {
      uint32_t bits;
      std::memcpy(&bits, matrix + i, sizeof bits);
      seen |= bits;
    }
    return (seen & kLower) == 0;
  }

  Halved(uint32_t* words, bool transposed, int64_t depth, int64_t columns)
      : words_(words), transposed_(transposed), depth_(depth), columns_(columns) {}

  // Returns whether nothing was lost.
  bool fill(Threads& threads, const float* from) const {
    const int64_t rows = transposed_ ? columns_ : depth_ / 2;
    const Pieces pieces(rows, kRowsInTurn);
    std::atomic<bool> whole{true};
    threads.run(pieces.count, [&](int64_t p) {
      Words seen{};
      for (int64_t i = pieces.begin(p); i < pieces.begin(p + 1); ++i) {
        if (transposed_) {
          for (int64_t k = 0; k < depth_; k += 2 * kLanes) {
            const float* pair = from + i * depth_ + k;
            seen |= join(pair, pair + kLanes, kLanes, words_ + (i * depth_ + k) / 2);
          }
        } else {
          const float* pair = from + 2 * i * columns_;
          seen |= join(pair, pair + columns_, columns_, words_ + i * columns_);
        }
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        if (seen[lane] & kLower) whole = false;
      }
    });
    return whole;
  }

  // C += A * this.
  void multiply(Threads& threads, const Matrix<const float>& a, const Matrix<float>& c,
                int64_t rows) const {
    each_some_columns(threads, columns_, [&](int64_t column, int64_t count) {
      transposed_ ? add_columns(a, c, rows, column, count) : add_rows(a, c, rows, column, count);
    });
  }

 private:
  static constexpr int kLines = 8;
  static constexpr int64_t kRowsInTurn = 16;
  static constexpr uint32_t kLower = 0xffff;

  // Returns the bits of all elements.
  static Words join(const float* low, const float* high, int64_t count, uint32_t* to) {
    Words seen{};
    for (int64_t j = 0; j < count; j += kLanes) {
      const Words lower = reinterpret_cast<Words>(load(low + j)),
                  upper = reinterpret_cast<Words>(load(high + j));
      seen |= lower | upper;
      const Words pair = (rounded(lower) >> 16) | rounded(upper);
      store(reinterpret_cast<float*>(to + j), reinterpret_cast<Vector>(pair));
    }
    return seen;
  }

  // To the nearest bfloat16, of two the even one.
  static Words rounded(Words bits) { return (bits + 0x7fff + ((bits >> 16) & 1)) & ~kLower; }

  static Vector low(Words pair) { return reinterpret_cast<Vector>(pair << 16); }
  static Vector high(Words pair) { return reinterpret_cast<Vector>(pair & ~kLower); }
  static Words load_words(const uint32_t* from) {
    return reinterpret_cast<Words>(load(reinterpret_cast<const float*>(from)));
  }

  void add_rows(const Matrix<const float>& a, const Matrix<float>& c, int64_t rows, int64_t column,
                int64_t count) const {
    for (int64_t k = 0; k < depth_ / 2; k += kLines) {
      for (int64_t j = column; j < column + count; j += kLanes) {
        Words pairs[kLines];
#pragma GCC unroll 8
        for (int l = 0; l < kLines; ++l) {
          const uint32_t* from = words_ + (k + l) * columns_ + j;
          pairs[l] = load_words(from);
          __builtin_prefetch(from + kLines * columns_);
        }
        for (int64_t i = 0; i < rows; ++i) {
          const float* left = a.row(i) + 2 * k;
          float* to = c.row(i) + j;
          Vector sums[2] = {load(to), Vector{}};
#pragma GCC unroll 8
          for (int l = 0; l < kLines; ++l) {
            sums[0] += left[2 * l] * low(pairs[l]);
            sums[1] += left[2 * l + 1] * high(pairs[l]);
          }
          store(to, sums[0] + sums[1]);
        }
      }
    }
  }

  void add_columns(const Matrix<const float>& a, const Matrix<float>& c, int64_t rows,
                   int64_t column, int64_t count) const {
    for (int64_t j = column; j < column + count; ++j) {
      const uint32_t* words = words_ + j * (depth_ / 2);
      for (int64_t i = 0; i < rows; ++i) {
        const float* left = a.row(i);
        Vector sums[2] = {};
        for (int64_t k = 0; k < depth_; k += 2 * kLanes) {
          const Words pair = load_words(words + k / 2);
          sums[0] += load(left + k) * low(pair);
          sums[1] += load(left + k + kLanes) * high(pair);
        }
        c.row(i)[j] += sum_of_lanes(sums[0] + sums[1]);
      }
    }
  }

  uint32_t* words_;
  bool transposed_;
  int64_t depth_, columns_;
};

}  // namespace seq2seq
