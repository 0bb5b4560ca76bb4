// C += A * B for an A of at most kMaxGemvRows rows, as in a search's first steps. Reading B takes
// all the time, so that nothing is packed and each row of B is read once.
//
//   in parallel, for parts of the columns
//     B not transposed:                            B transposed (each column in one piece):
//       for 8 rows of B                              for columns j
//         for vectors of columns                       for rows i of A
//           for rows i of A                              c(i, j) += dot(a(i, :), b(:, j))
//             c(i, vector) += 8 products
#pragma once

#include <algorithm>
#include <cstdint>

#include "matrix.h"
#include "partition.h"
#include "simd_math.h"
#include "thread_pool.h"

namespace seq2seq {

constexpr int64_t kMaxGemvRows = 8;

// C += A * B on `columns` columns from `column` on.
inline void gemv_rows(const MatrixView<const float>& a, const MatrixView<const float>& b,
                      const MatrixView<float>& c, int64_t rows, int64_t depth, int64_t column,
                      int64_t columns) {
  constexpr int kUnroll = 8;
  const int64_t in_vectors = columns / kLanes * kLanes;
  int64_t k = 0;
  for (; k + kUnroll <= depth; k += kUnroll) {
    const float* rows_of_b[kUnroll];
    for (int u = 0; u < kUnroll; ++u) rows_of_b[u] = b.row(k + u) + column;
    const bool prefetches = k + 2 * kUnroll <= depth;
    for (int64_t j = 0; j < in_vectors; j += kLanes) {
      SimdFloat right[kUnroll];
#pragma GCC unroll 8
      for (int u = 0; u < kUnroll; ++u) {
        right[u] = load(rows_of_b[u] + j);
        if (prefetches) __builtin_prefetch(b.row(k + kUnroll + u) + column + j);
      }
      for (int64_t i = 0; i < rows; ++i) {
        const float* left = a.row(i) + k;
        float* to = c.row(i) + column + j;
        SimdFloat sums[2] = {load(to), SimdFloat{}};
#pragma GCC unroll 8
        for (int u = 0; u < kUnroll; ++u) sums[u % 2] += left[u] * right[u];
        store(to, sums[0] + sums[1]);
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = in_vectors; j < columns; ++j) {
        for (int u = 0; u < kUnroll; ++u) c.row(i)[column + j] += a.row(i)[k + u] * rows_of_b[u][j];
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

inline float dot(const float* a, const float* b, int64_t size) {
  constexpr int kSums = 4;
  SimdFloat sums[kSums] = {};
  int64_t k = 0;
  for (; k + kSums * kLanes <= size; k += kSums * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s) sums[s] += load(a + k + s * kLanes) * load(b + k + s * kLanes);
  }
  float sum = reduce_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; k < size; ++k) sum += a[k] * b[k];
  return sum;
}

// As gemv_rows, for a transposed B.
inline void gemv_columns(const MatrixView<const float>& a, const MatrixView<const float>& b,
                         const MatrixView<float>& c, int64_t rows, int64_t depth, int64_t column,
                         int64_t columns) {
  for (int64_t j = column; j < column + columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      c.row(i)[j] += dot(a.row(i), b.row(j), depth);
    }
  }
}

// Calls `body(column, columns)` for parts of the columns, whole vectors each but the last one.
template <typename Body>
void parallel_for_columns(ThreadPool& pool, int64_t columns, Body body) {
  const int64_t vectors = (columns + kLanes - 1) / kLanes;
  const int64_t fair_share = (vectors + pool.count() - 1) / pool.count();
  const Partition parts(vectors, std::max<int64_t>(1, std::min<int64_t>(512 / kLanes, fair_share)));
  pool.parallel_for(parts.count, [&](int64_t p) {
    const int64_t column = parts.begin(p) * kLanes;
    body(column, std::min(columns - column, parts.length(p) * kLanes));
  });
}

inline void gemv(ThreadPool& pool, const MatrixView<const float>& a, const Operand<float>& b,
                 const MatrixView<float>& c, int64_t rows, int64_t depth, int64_t columns) {
  const auto add = b.transposed ? gemv_columns : gemv_rows;
  parallel_for_columns(pool, columns, [&](int64_t column, int64_t count) {
    add(a, b.matrix, c, rows, depth, column, count);
  });
}

}  // namespace seq2seq
