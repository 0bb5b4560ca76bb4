// Packs operands of a product C = A * B in the order in which the microkernel reads them.
//
// An element (packed_element.h) of depth k of A's tile, or of B's panel, lies beside those of the
// other rows, or columns, at the same depth:
//
//   A tile, `rows` rows (at most kRows)        B panel, kTileColumns columns, zeros in missing ones
//     k = 0: a(0,0) a(1,0) ... a(rows-1,0)       k = 0: b(0,0) b(0,1) ... b(0,31)
//     k = 1: a(0,1) a(1,1) ...                   k = 1: b(1,0) b(1,1) ...
//
// An operand whose elements of one depth lie side by side in memory already (A transposed, B not)
// is copied; the other ones are transposed in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "matrix.h"
#include "packed_element.h"

namespace seq2seq {

constexpr int kTileVectors = 2;
constexpr int kTileColumns = kTileVectors * kLanes;

// Does the work of `transpose_into_panel` for as many of the first elements as fill whole blocks of
// kLanes x kLanes, and returns how many. What a block writes too much to the right is overwritten
// by the next one.
template <typename Element, typename T>
int64_t transpose_blocks_into_panel(const T* const* vectors, int count, int64_t elements,
                                    int64_t stride, float* packed) {
  constexpr int kGroups = 2;
  if (count > kGroups * kLanes) return 0;
  const int groups = count > kLanes ? kGroups : 1;
  int64_t k = 0;
  for (; (k + kLanes - 1) * stride + groups * kLanes <= elements * stride && k + kLanes <= elements;
       k += kLanes) {
    SimdFloat blocks[kGroups][kLanes];
    for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        const int vector = g * kLanes + i;
        blocks[g][i] = vector < count
                           ? Element::load_along_depth(vectors[vector] + k * Element::kValues)
                           : SimdFloat{};
      }
      transpose(blocks[g]);
    }
    for (int i = 0; i < kLanes; ++i) {
      for (int g = 0; g < groups; ++g) store(packed + (k + i) * stride + g * kLanes, blocks[g][i]);
    }
  }
  return k;
}

// Packs `count` vectors of `depth` values that each lie in one piece: rows of A, or columns of a
// transposed B.
template <typename Element, typename T>
void transpose_into_panel(const T* const* vectors, int count, int64_t depth, int64_t stride,
                          float* packed) {
  const int64_t first = transpose_blocks_into_panel<Element>(
      vectors, count, depth / Element::kValues, stride, packed);
  for (int64_t k = first; k * Element::kValues < depth; ++k) {
    const int64_t at = k * Element::kValues;
    for (int i = 0; i < count; ++i) {
      packed[k * stride + i] = Element::load_element(vectors[i] + at, depth - at);
    }
  }
}

// Packs `columns` columns, from `column` on, of `depth` rows from `row` on: of B, or of a
// transposed A.
template <typename Element, typename T>
void copy_into_panel(const MatrixView<const T>& matrix, int64_t row, int64_t depth, int64_t column,
                     int columns, int64_t stride, float* packed) {
  for (int64_t k = 0; k < depth; k += Element::kValues, packed += stride) {
    const T* first = matrix.row(row + k) + column;
    const T* second = k + 1 < depth ? matrix.row(row + k + 1) + column : nullptr;
    for (int i = 0; i < columns; i += kLanes) {
      const int count = std::min(kLanes, columns - i);
      store(packed + i, Element::load_across_depth(first + i, second ? second + i : nullptr, count),
            count);
    }
  }
}

// Packs a tile of A: `rows` rows from `row` on, of the values in `range`.
template <typename Element, typename T>
void pack_a_tile(const Operand<T>& a, int64_t row, int rows, DepthRange range, float* packed) {
  if (a.transposed) {
    return copy_into_panel<Element>(a.matrix, range.begin, range.depth, row, rows, rows, packed);
  }
  const T* vectors[RegisterTiles::kRows] = {};
  for (int i = 0; i < rows; ++i) vectors[i] = a.matrix.row(row + i) + range.begin;
  transpose_into_panel<Element>(vectors, rows, range.depth, rows, packed);
}

// Packs a panel of B: `columns` columns from `column` on, of the values in `range`.
template <typename Element, typename T>
void pack_b_panel(const Operand<T>& b, DepthRange range, int64_t column, int columns,
                  float* packed) {
  const int64_t rows = (range.depth + Element::kValues - 1) / Element::kValues,
                zeros_from = columns < kTileColumns ? 0 : rows,
                zeros = Element::elements(range.depth) - zeros_from;
  std::memset(packed + zeros_from * kTileColumns, 0, zeros * kTileColumns * sizeof(float));
  if (!b.transposed) {
    return copy_into_panel<Element>(b.matrix, range.begin, range.depth, column, columns,
                                    kTileColumns, packed);
  }
  const T* vectors[kTileColumns] = {};
  for (int j = 0; j < columns; ++j) vectors[j] = b.matrix.row(column + j) + range.begin;
  transpose_into_panel<Element>(vectors, columns, range.depth, kTileColumns, packed);
}

}  // namespace seq2seq
