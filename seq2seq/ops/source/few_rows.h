// Products of so few rows that reading the weights is all that takes time: nothing is packed.
#pragma once

#include "product.h"

namespace seq2seq {

constexpr int64_t kFewRows = 8;

// C += A * B, on some columns: each row of B is read once, in one piece.
inline void add_product(const Matrix<const float>& a, const Matrix<const float>& b,
                        const Matrix<float>& c, int64_t rows, int64_t depth, int64_t column,
                        int64_t columns) {
  constexpr int kLines = 8;
  const int64_t whole = columns / kLanes * kLanes;
  int64_t k = 0;
  for (; k + kLines <= depth; k += kLines) {
    const float* lines[kLines];
    for (int l = 0; l < kLines; ++l) lines[l] = b.row(k + l) + column;
    const bool more = k + 2 * kLines <= depth;
    for (int64_t j = 0; j < whole; j += kLanes) {
      Vector right[kLines];
#pragma GCC unroll 8
      for (int l = 0; l < kLines; ++l) {
        right[l] = load(lines[l] + j);
        if (more) __builtin_prefetch(b.row(k + kLines + l) + column + j);
      }
      for (int64_t i = 0; i < rows; ++i) {
        const float* left = a.row(i) + k;
        float* to = c.row(i) + column + j;
        Vector sums[2] = {load(to), Vector{}};
#pragma GCC unroll 8
        for (int l = 0; l < kLines; ++l) sums[l % 2] += left[l] * right[l];
        store(to, sums[0] + sums[1]);
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = whole; j < columns; ++j) {
        for (int l = 0; l < kLines; ++l) c.row(i)[column + j] += a.row(i)[k + l] * lines[l][j];
      }
    }
  }
  for (; k < depth; ++k) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        c.row(i)[column + j] += a.row(i)[k] * b.row(k)[column + j];
      }
    }
  }
}

inline float sum_of_products(const float* a, const float* b, int64_t size) {
  constexpr int kSums = 4;
  Vector sums[kSums] = {};
  int64_t k = 0;
  for (; k + kSums * kLanes <= size; k += kSums * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s) sums[s] += load(a + k + s * kLanes) * load(b + k + s * kLanes);
  }
  float sum = sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; k < size; ++k) sum += a[k] * b[k];
  return sum;
}

// The same with a transposed B, whose columns lie in one piece.
inline void add_product_of_columns(const Matrix<const float>& a, const Matrix<const float>& b,
                                   const Matrix<float>& c, int64_t rows, int64_t depth,
                                   int64_t column, int64_t columns) {
  for (int64_t j = column; j < column + columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      c.row(i)[j] += sum_of_products(a.row(i), b.row(j), depth);
    }
  }
}

// C += A * B, on all threads: `add` does some columns.
template <typename Add>
void each_some_columns(Threads& threads, int64_t columns, Add add) {
  const int64_t blocks = (columns + kLanes - 1) / kLanes;
  const int64_t share = (blocks + threads.count() - 1) / threads.count();
  const Pieces pieces(blocks, std::max<int64_t>(1, std::min<int64_t>(512 / kLanes, share)));
  threads.run(pieces.count, [&](int64_t p) {
    const int64_t column = pieces.begin(p) * kLanes;
    add(column, std::min(columns - column, pieces.length(p) * kLanes));
  });
}

inline void multiply_few_rows(Threads& threads, const Matrix<const float>& a,
                              const Operand<float>& b, const Matrix<float>& c, int64_t rows,
                              int64_t depth, int64_t columns) {
  const auto add = b.transposed ? add_product_of_columns : add_product;
  each_some_columns(threads, columns, [&](int64_t column, int64_t count) {
    add(a, b.matrix, c, rows, depth, column, count);
  });
}

}  // namespace seq2seq
