// Small products straight from memory, on the calling thread: packing would take longer than they do.
#pragma once

#include <algorithm>

#include "product.h"

namespace seq2seq {

// A small matrix of floats, or its transpose.
struct Factors {
  const float* values;
  int64_t row_stride, depth_stride;

  static Factors of(const float* values, int64_t stride) { return {values, stride, 1}; }
  static Factors transposed(const float* values, int64_t stride) { return {values, 1, stride}; }
  const float* at(int64_t row) const { return values + row * row_stride; }
};

constexpr int kUnpackedRows = 7, kUnpackedVectors = 2, kUnpackedColumns = 2 * kLanes;

// Some rows of C = A * B, on as many columns as the vectors hold, or fewer.
template <typename T, int rows>
void multiply_some(const Factors& a, const Matrix<const T>& b, const Matrix<T>& c, int64_t row,
                   int64_t depth, int64_t column, int columns) {
  const int counts[kUnpackedVectors] = {std::min(columns, kLanes), std::max(0, columns - kLanes)};
  Vector sums[rows][kUnpackedVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const T* line = b.row(k) + column;
    Vector right[kUnpackedVectors];
    for (int v = 0; v < kUnpackedVectors; ++v) right[v] = load(line + v * kLanes, counts[v]);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const Vector left = broadcast(a.at(row + i)[k * a.depth_stride]);
      for (int v = 0; v < kUnpackedVectors; ++v) sums[i][v] += left * right[v];
    }
  }
  for (int i = 0; i < rows; ++i) {
    T* to = c.row(row + i) + column;
    for (int v = 0; v < kUnpackedVectors; ++v) store(to + v * kLanes, sums[i][v], counts[v]);
  }
}

template <typename T>
using MultiplySome = void (*)(const Factors&, const Matrix<const T>&, const Matrix<T>&, int64_t,
                              int64_t, int64_t, int);
template <typename T>
inline constexpr MultiplySome<T> kMultiplySome[kUnpackedRows + 1] = {
    nullptr,              multiply_some<T, 1>, multiply_some<T, 2>, multiply_some<T, 3>,
    multiply_some<T, 4>, multiply_some<T, 5>, multiply_some<T, 6>, multiply_some<T, 7>};

// C = A * B, whose sums are float32.
template <typename T>
void multiply_unpacked(const Factors& a, const Matrix<const T>& b, const Matrix<T>& c, int64_t rows,
                       int64_t depth, int64_t columns) {
  const Pieces parts(rows, kUnpackedRows);
  for (int64_t column = 0; column < columns; column += kUnpackedColumns) {
    const int count = static_cast<int>(std::min<int64_t>(kUnpackedColumns, columns - column));
    for (int64_t p = 0; p < parts.count; ++p) {
      kMultiplySome<T>[parts.length(p)](a, b, c, parts.begin(p), depth, column, count);
    }
  }
}

// C = A * B for a transposed B: the dot products of all their lines.
template <typename T>
void multiply_lines(const Matrix<const T>& a, const Matrix<const T>& b, const Matrix<float>& c,
                    int64_t rows, int64_t depth, int64_t columns) {
  constexpr int kLines = 4;
  for (int64_t row = 0; row < rows; row += kLines) {
    for (int64_t column = 0; column < columns; column += kLines) {
      const T *left[kLines], *right[kLines];  // at the edge the last one, several times
      for (int l = 0; l < kLines; ++l) {
        left[l] = a.row(std::min(row + l, rows - 1));
        right[l] = b.row(std::min(column + l, columns - 1));
      }
      Vector sums[kLines][kLines] = {};
      each_vector(depth, [&](int64_t k, int count) {
        Vector values[kLines];
        for (int j = 0; j < kLines; ++j) values[j] = load(right[j] + k, count);
#pragma GCC unroll 4
        for (int i = 0; i < kLines; ++i) {
          const Vector value = load(left[i] + k, count);
#pragma GCC unroll 4
          for (int j = 0; j < kLines; ++j) sums[i][j] += value * values[j];
        }
      });
      for (int64_t i = 0; i < std::min<int64_t>(kLines, rows - row); ++i) {
        for (int64_t j = 0; j < std::min<int64_t>(kLines, columns - column); ++j) {
          c.row(row + i)[column + j] = sum_of_lanes(sums[i][j]);
        }
      }
    }
  }
}

}  // namespace seq2seq
