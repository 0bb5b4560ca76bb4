// Small products on the calling thread, straight from memory: packing would take longer than they
// do. Attention makes them for each sentence.
//
//   small_gemm:               tiles of 6 or 7 rows x 2 vectors of C in registers, over the whole depth
//   small_gemm_transposed_b:  4 x 4 dot products at a time, each in a vector of partial sums
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "matrix.h"
#include "partition.h"
#include "simd_math.h"

namespace seq2seq {

// A small matrix of floats, or its transpose, by the strides of both dimensions.
struct TransposableView {
  const float* values;
  int64_t row_stride, depth_stride;

  static TransposableView of(const float* values, int64_t stride) { return {values, stride, 1}; }
  static TransposableView transposed(const float* values, int64_t stride) {
    return {values, 1, stride};
  }
  const float* row(int64_t i) const { return values + i * row_stride; }
};

constexpr int kSmallTileRows = kRegisters == 32 ? 7 : 6, kSmallTileVectors = 2;
constexpr int kSmallTileColumns = kSmallTileVectors * kLanes;

// Computes a tile of C = A * B.
template <typename T, int rows>
void small_tile(const TransposableView& a, const MatrixView<const T>& b, const MatrixView<T>& c,
                int64_t row, int64_t depth, int64_t column, int columns) {
  const int counts[kSmallTileVectors] = {std::min(columns, kLanes), std::max(0, columns - kLanes)};
  SimdFloat sums[rows][kSmallTileVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const T* row_of_b = b.row(k) + column;
    SimdFloat right[kSmallTileVectors];
    for (int v = 0; v < kSmallTileVectors; ++v) right[v] = load(row_of_b + v * kLanes, counts[v]);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const SimdFloat left = broadcast(a.row(row + i)[k * a.depth_stride]);
      for (int v = 0; v < kSmallTileVectors; ++v) sums[i][v] += left * right[v];
    }
  }
  for (int i = 0; i < rows; ++i) {
    T* to = c.row(row + i) + column;
    for (int v = 0; v < kSmallTileVectors; ++v) store(to + v * kLanes, sums[i][v], counts[v]);
  }
}

template <typename T>
using SmallTile = void (*)(const TransposableView&, const MatrixView<const T>&,
                           const MatrixView<T>&, int64_t, int64_t, int64_t, int);
// The tiles by their number of rows, from 1 on.
template <typename T, int... rows>
constexpr std::array<SmallTile<T>, kSmallTileRows + 1> make_small_tiles(
    std::integer_sequence<int, rows...>) {
  return {nullptr, small_tile<T, rows + 1>...};
}
template <typename T>
inline constexpr auto kSmallTiles =
    make_small_tiles<T>(std::make_integer_sequence<int, kSmallTileRows>{});

// C = A * B, summed in float32.
template <typename T>
void small_gemm(const TransposableView& a, const MatrixView<const T>& b, const MatrixView<T>& c,
                int64_t rows, int64_t depth, int64_t columns) {
  const Partition tiles(rows, kSmallTileRows);
  for (int64_t column = 0; column < columns; column += kSmallTileColumns) {
    const int count = static_cast<int>(std::min<int64_t>(kSmallTileColumns, columns - column));
    for (int64_t t = 0; t < tiles.count; ++t) {
      kSmallTiles<T>[tiles.length(t)](a, b, c, tiles.begin(t), depth, column, count);
    }
  }
}

// C = A * B for a transposed B: the dot products of all rows of both in memory.
template <typename T>
void small_gemm_transposed_b(const MatrixView<const T>& a, const MatrixView<const T>& b,
                             const MatrixView<float>& c, int64_t rows, int64_t depth,
                             int64_t columns) {
  constexpr int kTile = 4;
  for (int64_t row = 0; row < rows; row += kTile) {
    for (int64_t column = 0; column < columns; column += kTile) {
      const T *left[kTile], *right[kTile];  // the last ones again at the edge
      for (int l = 0; l < kTile; ++l) {
        left[l] = a.row(std::min(row + l, rows - 1));
        right[l] = b.row(std::min(column + l, columns - 1));
      }
      SimdFloat sums[kTile][kTile] = {};
      for_each_vector(depth, [&](int64_t k, int count) {
        SimdFloat values[kTile];
        for (int j = 0; j < kTile; ++j) values[j] = load(right[j] + k, count);
#pragma GCC unroll 4
        for (int i = 0; i < kTile; ++i) {
          const SimdFloat value = load(left[i] + k, count);
#pragma GCC unroll 4
          for (int j = 0; j < kTile; ++j) sums[i][j] += value * values[j];
        }
      });
      for (int64_t i = 0; i < std::min<int64_t>(kTile, rows - row); ++i) {
        for (int64_t j = 0; j < std::min<int64_t>(kTile, columns - column); ++j) {
          c.row(row + i)[column + j] = reduce_sum(sums[i][j]);
        }
      }
    }
  }
}

}  // namespace seq2seq
