// Weights of bfloat16 values in half of their memory, for products of few rows (gemv.h), where
// reading them takes all the time. The products themselves are made in float32.
//
// A 32-bit word holds two values, so that a vector of words becomes two vectors of float32 by a
// shift and a mask:
//
//   B not transposed: word (k, j)  = [ b(2k, j) | b(2k + 1, j) ]
//   B transposed:     word (j, k)  = [ b(j, k)  | b(j, k + 16) ]   of each 32 values of a row
#pragma once

#include <atomic>

#include "gemv.h"

namespace seq2seq {

class BFloat16Weights {
 public:
  // Whether a matrix of these sizes can be packed.
  static bool supports(int64_t depth, int64_t columns) {
    return depth % (2 * kUnroll) == 0 && depth % (2 * kLanes) == 0 && columns % kLanes == 0;
  }

  // Whether the first values of a matrix are bfloat16, so that packing is worth a try.
  static bool seems_lossless(const float* matrix, int64_t depth, int64_t columns) {
    constexpr int64_t kSample = 1024;
    uint32_t any_bits = 0;
    for (int64_t i = 0; i < std::min(kSample, depth * columns); ++i) {
      uint32_t bits;
      std::memcpy(&bits, matrix + i, sizeof bits);
      any_bits |= bits;
    }
    return (any_bits & kLowerHalf) == 0;
  }

  // The memory, depth * columns / 2 words, is the caller's.
  BFloat16Weights(uint32_t* words, bool transposed, int64_t depth, int64_t columns)
      : words_(words), transposed_(transposed), depth_(depth), columns_(columns) {}

  // Rounds and packs a matrix; returns whether that changed no value.
  bool pack(ThreadPool& pool, const float* matrix) const {
    const int64_t rows = transposed_ ? columns_ : depth_ / 2;
    const Partition parts(rows, kRowsPerTask);
    std::atomic<bool> lossless{true};
    pool.parallel_for(parts.count, [&](int64_t p) {
      SimdUint any_bits{};
      for (int64_t i = parts.begin(p); i < parts.begin(p + 1); ++i) {
        if (transposed_) {
          for (int64_t k = 0; k < depth_; k += 2 * kLanes) {
            const float* low = matrix + i * depth_ + k;
            any_bits |= pack_pairs(low, low + kLanes, kLanes, words_ + (i * depth_ + k) / 2);
          }
        } else {
          const float* low = matrix + 2 * i * columns_;
          any_bits |= pack_pairs(low, low + columns_, columns_, words_ + i * columns_);
        }
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        if (any_bits[lane] & kLowerHalf) lossless = false;
      }
    });
    return lossless;
  }

  // C += A * these weights.
  void multiply(ThreadPool& pool, const MatrixView<const float>& a, const MatrixView<float>& c,
                int64_t rows) const {
    parallel_for_columns(pool, columns_, [&](int64_t column, int64_t count) {
      transposed_ ? gemv_columns(a, c, rows, column, count) : gemv_rows(a, c, rows, column, count);
    });
  }

 private:
  static constexpr int kUnroll = 8;
  static constexpr int64_t kRowsPerTask = 16;
  static constexpr uint32_t kLowerHalf = 0xffff;

  // Packs `count` values of `low` with those of `high`; returns the union of the bits of all
  // values.
  static SimdUint pack_pairs(const float* low, const float* high, int64_t count, uint32_t* words) {
    SimdUint any_bits{};
    for (int64_t j = 0; j < count; j += kLanes) {
      const SimdUint lower = reinterpret_cast<SimdUint>(load(low + j)),
                     upper = reinterpret_cast<SimdUint>(load(high + j));
      any_bits |= lower | upper;
      const SimdUint pair = (round(lower) >> 16) | round(upper);
      store(reinterpret_cast<float*>(words + j), reinterpret_cast<SimdFloat>(pair));
    }
    return any_bits;
  }

  // To the nearest bfloat16, ties to even.
  static SimdUint round(SimdUint bits) {
    return (bits + 0x7fff + ((bits >> 16) & 1)) & ~kLowerHalf;
  }

  static SimdFloat low_values(SimdUint pair) { return reinterpret_cast<SimdFloat>(pair << 16); }
  static SimdFloat high_values(SimdUint pair) {
    return reinterpret_cast<SimdFloat>(pair & ~kLowerHalf);
  }
  static SimdUint load_words(const uint32_t* from) {
    return reinterpret_cast<SimdUint>(load(reinterpret_cast<const float*>(from)));
  }

  void gemv_rows(const MatrixView<const float>& a, const MatrixView<float>& c, int64_t rows,
                 int64_t column, int64_t count) const {
    for (int64_t k = 0; k < depth_ / 2; k += kUnroll) {
      for (int64_t j = column; j < column + count; j += kLanes) {
        SimdUint pairs[kUnroll];
#pragma GCC unroll 8
        for (int u = 0; u < kUnroll; ++u) {
          const uint32_t* from = words_ + (k + u) * columns_ + j;
          pairs[u] = load_words(from);
          __builtin_prefetch(from + kUnroll * columns_);
        }
        for (int64_t i = 0; i < rows; ++i) {
          const float* left = a.row(i) + 2 * k;
          float* to = c.row(i) + j;
          SimdFloat sums[2] = {load(to), SimdFloat{}};
#pragma GCC unroll 8
          for (int u = 0; u < kUnroll; ++u) {
            sums[0] += left[2 * u] * low_values(pairs[u]);
            sums[1] += left[2 * u + 1] * high_values(pairs[u]);
          }
          store(to, sums[0] + sums[1]);
        }
      }
    }
  }

  void gemv_columns(const MatrixView<const float>& a, const MatrixView<float>& c, int64_t rows,
                    int64_t column, int64_t count) const {
    for (int64_t j = column; j < column + count; ++j) {
      const uint32_t* words = words_ + j * (depth_ / 2);
      for (int64_t i = 0; i < rows; ++i) {
        const float* left = a.row(i);
        SimdFloat sums[2] = {};
        for (int64_t k = 0; k < depth_; k += 2 * kLanes) {
          const SimdUint pair = load_words(words + k / 2);
          sums[0] += load(left + k) * low_values(pair);
          sums[1] += load(left + k + kLanes) * high_values(pair);
        }
        c.row(i)[j] += reduce_sum(sums[0] + sums[1]);
      }
    }
  }

  uint32_t* words_;
  bool transposed_;
  int64_t depth_, columns_;
};

}  // namespace seq2seq
