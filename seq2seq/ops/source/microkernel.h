// The innermost loop of a product: one tile of C, held in registers while a packed tile of A and a
// packed panel of B (packing.h) stream by (Goto & van de Geijn, 2008,
// https://doi.org/10.1145/1356052.1356053).
//
//                       B panel, elements of depth k: 2 vectors
//                              +------+------+
//                              | b[0] | b[1] |
//                              +------+------+
//   A tile,            a[0]    | sums[0][0:2]|     for k: for i < rows: for v < 2:
//   elements of        a[1]    | sums[1][0:2]|       sums[i][v] += broadcast(a[i]) * b[v]
//   depth k            ...     |     ...     |     then the epilogue:
//   (kRows at most)    a[13]   | sums[13]... |       C = sums, C += sums or C = sums + bias
//                              +-------------+
//
// Each number of rows is a function of its own, so that the sums stay in registers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "matrix.h"
#include "packing.h"

namespace seq2seq {

// What is done with a product before it becomes C.
struct Epilogue {
  bool accumulate = false;      // add C
  const float* bias = nullptr;  // or add this row of C's width to every row

  static Epilogue accumulate_into_c() { return {true, nullptr}; }
  static Epilogue add_bias(const float* bias) { return {false, bias}; }
};

// Memory to prefetch: a cache line for each step in depth, `stride` bytes apart; null for none.
struct PrefetchNext {
  const char* first = nullptr;
  int64_t stride = 0;
};

// The place of a tile in C.
struct TileOfC {
  const MatrixView<float>& c;
  int64_t row, column;
  int columns;
};

// Stores a row of a tile, after the epilogue. Must be inlined: the sums are in registers.
[[gnu::always_inline]] inline void store_row(const SimdFloat (&sums)[kTileVectors], int row,
                                             const TileOfC& tile, const Epilogue& epilogue) {
  float* to = tile.c.row(tile.row + row) + tile.column;
  const float* added = epilogue.bias         ? epilogue.bias + tile.column
                       : epilogue.accumulate ? to
                                             : nullptr;
  if (tile.columns == kTileColumns) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      store(to + v * kLanes, added ? sums[v] + load(added + v * kLanes) : sums[v]);
    }
  } else {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const int n = std::min(kLanes, tile.columns - v * kLanes);
      if (n <= 0) break;
      store(to + v * kLanes, added ? sums[v] + load(added + v * kLanes, n) : sums[v], n);
    }
  }
}

// Multiplies `depth` elements of a tile of A with those of a panel of B.
template <typename Element, int rows>
void microkernel(const float* __restrict a, const float* __restrict b, int64_t depth,
                 const TileOfC& tile, const Epilogue& epilogue, PrefetchNext next) {
  SimdFloat sums[rows][kTileVectors] = {};
  const int64_t last = depth - Element::kTrailer;
  for (int64_t k = 0; k < last; ++k) {
    if (next.first) __builtin_prefetch(next.first + k * next.stride, 0, 2);
    __builtin_prefetch(a + (depth + k) * rows, 0, 2);  // the next tile of A
    SimdFloat right[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) right[v] = load(b + k * kTileColumns + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const SimdFloat left = broadcast(a[k * rows + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        sums[i][v] = Element::multiply_add(left, right[v], sums[i][v]);
      }
    }
  }
  if constexpr (Element::kTrailer > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        sums[i][v] = Element::dequantize(sums[i][v], a[last * rows + i],
                                         b + last * kTileColumns + v * kLanes);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) store_row(sums[i], i, tile, epilogue);
}

using Microkernel = void (*)(const float*, const float*, int64_t, const TileOfC&, const Epilogue&,
                             PrefetchNext);

// The microkernels by their number of rows, from 1 on: compiled once, in microkernels.cc.
using MicrokernelsByRows = std::array<Microkernel, RegisterTiles::kRows + 1>;
template <typename Element>
struct Compiled {
  static const MicrokernelsByRows kMicrokernels;
};
template <>
const MicrokernelsByRows Compiled<Float32>::kMicrokernels;
#ifdef SEQ2SEQ_PAIRS
template <>
const MicrokernelsByRows Compiled<BFloat16Pairs>::kMicrokernels;
#endif

}  // namespace seq2seq
