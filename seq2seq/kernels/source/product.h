// Matrix products on rows that may lie anywhere in memory, in float32 registers.
//
// C (rows x columns) = or += A (rows x depth) * B (depth x columns). Tiles of C are kept in
// registers while panels of A and B, packed in the order of their use, stream by (Goto & van de
// Geijn, 2008, https://doi.org/10.1145/1356052.1356053).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "threads.h"
#include "vector.h"

namespace seq2seq {

constexpr int kTileRows = 14;              // 28 accumulators of the 32 registers of AVX-512
constexpr int kTileVectors = 2;
constexpr int kTileColumns = kTileVectors * kLanes;
constexpr int64_t kDepth = 512;            // a panel of B: 64 KiB, within the second cache
constexpr int64_t kRows = 2048;            // a slab of A: 4 MiB at most

// A matrix whose rows start at `data + offsets[row]`, or every `stride` elements.
template <typename T>
struct Matrix {
  T* data;
  int64_t stride;
  const int64_t* offsets = nullptr;
  T* row(int64_t i) const { return data + (offsets ? offsets[i] : i * stride); }
};

// An operand; element (i, j) of a transposed one is element (j, i) of the matrix in memory.
template <typename T>
struct Operand {
  Matrix<const T> matrix;
  bool transposed = false;
};

#ifdef SEQ2SEQ_TRANSPOSES
// Does what `interleave` does to the first columns, as many as fill whole blocks, and returns how
// many. What a block writes too much to the right the next one overwrites.
inline int64_t interleave_blocks(const float* const* from, int lines, int64_t count, int64_t stride,
                                 float* to) {
  constexpr int kGroups = 2;
  if (lines > kGroups * kLanes) return 0;
  const int groups = lines > kLanes ? kGroups : 1;
  int64_t k = 0;
  for (; (k + kLanes - 1) * stride + groups * kLanes <= count * stride && k + kLanes <= count;
       k += kLanes) {
    Vector blocks[kGroups][kLanes];
    for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        const int line = g * kLanes + i;
        blocks[g][i] = line < lines ? load(from[line] + k) : Vector{};
      }
      transpose(blocks[g]);
    }
    for (int i = 0; i < kLanes; ++i) {
      for (int g = 0; g < groups; ++g) store(to + (k + i) * stride + g * kLanes, blocks[g][i]);
    }
  }
  return k;
}
#endif

// Copies `lines` lines of `count` elements, so that the elements of one column lie side by side.
template <typename T>
void interleave(const T* const* from, int lines, int64_t count, int64_t stride, float* to) {
  int64_t first = 0;
#ifdef SEQ2SEQ_TRANSPOSES
  if constexpr (std::is_same_v<T, float>) first = interleave_blocks(from, lines, count, stride, to);
#endif
  for (int64_t k = first; k < count; ++k) {
    for (int i = 0; i < lines; ++i) to[k * stride + i] = to_float(from[i][k]);
  }
}

template <typename T>
void pack_rows(const Operand<T>& a, int64_t row, int rows, int64_t depth, int64_t count,
               float* packed) {
  if (!a.transposed) {
    const T* from[kTileRows] = {};
    for (int i = 0; i < rows; ++i) from[i] = a.matrix.row(row + i) + depth;
    return interleave(from, rows, count, rows, packed);
  }
  for (int64_t k = 0; k < count; ++k) {
    const T* from = a.matrix.row(depth + k) + row;
    for (int i = 0; i < rows; ++i) packed[k * rows + i] = to_float(from[i]);
  }
}

template <typename T>
void pack_columns(const Operand<T>& b, int64_t depth, int64_t count, int64_t column, int columns,
                  float* packed) {
  if (columns < kTileColumns) std::memset(packed, 0, count * kTileColumns * sizeof(float));
  if (b.transposed) {
    const T* from[kTileColumns] = {};
    for (int j = 0; j < columns; ++j) from[j] = b.matrix.row(column + j) + depth;
    return interleave(from, columns, count, kTileColumns, packed);
  }
  for (int64_t k = 0; k < count; ++k) {
    const T* from = b.matrix.row(depth + k) + column;
    for (int j = 0; j < columns; ++j) packed[k * kTileColumns + j] = to_float(from[j]);
  }
}

template <int rows>
void tile(const float* __restrict a, const float* __restrict b, int64_t depth,
          const Matrix<float>& c, int64_t row, int64_t column, int columns, bool add,
          const float* soon) {
  Vector sums[rows][kTileVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    if (soon) __builtin_prefetch(soon + k * kLanes);
    Vector right[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) right[v] = load(b + k * kTileColumns + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vector left = broadcast(a[k * rows + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sums[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    float* to = c.row(row + i) + column;
    if (columns == kTileColumns) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const Vector sum = add ? sums[i][v] + load(to + v * kLanes) : sums[i][v];
        store(to + v * kLanes, sum);
      }
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const int n = std::min(kLanes, columns - v * kLanes);
        if (n <= 0) break;
        const Vector sum = add ? sums[i][v] + load(to + v * kLanes, n) : sums[i][v];
        store(to + v * kLanes, sum, n);
      }
    }
  }
}

using Tile = void (*)(const float*, const float*, int64_t, const Matrix<float>&, int64_t, int64_t,
                      int, bool, const float*);
inline constexpr Tile kTiles[kTileRows + 1] = {
    nullptr, tile<1>, tile<2>,  tile<3>,  tile<4>,  tile<5>,  tile<6>, tile<7>,
    tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>};

// Cuts `size` into as few pieces as possible, of nearly one size, none above `largest`.
struct Pieces {
  int64_t size, count;
  Pieces(int64_t size, int64_t largest) : size(size), count((size + largest - 1) / largest) {}
  int64_t begin(int64_t piece) const { return size * piece / count; }
  int64_t length(int64_t piece) const { return begin(piece + 1) - begin(piece); }
};

// Rows of A, packed layer by layer of its depth, in tiles.
class PackedRows {
 public:
  PackedRows(int64_t most_rows, int64_t depth)
      : layers_(depth, kDepth), tiles_(0, kTileRows), values_(most_rows * depth) {}

  // Packs on all threads.
  template <typename T>
  void pack(Threads& threads, const Operand<T>& a, int64_t row, int64_t rows, int64_t begin = 0) {
    tiles_ = Pieces(rows, kTileRows);
    threads.run(tiles_.count * layers_.count, [&](int64_t i) {
      const int64_t l = i / tiles_.count, t = i % tiles_.count;
      pack_rows(a, row + tiles_.begin(t), tiles_.length(t), begin + layers_.begin(l),
                layers_.length(l), tile(l, t));
    });
  }

  // C = or += a layer of A times a panel of B; fetches the layer of the next panel meanwhile.
  void multiply(int64_t layer, const float* panel, const Matrix<float>& c, int64_t row,
                int64_t column, int columns, bool add, const float* next = nullptr) const {
    const int64_t depth = layers_.length(layer);
    for (int64_t t = 0; t < tiles_.count; ++t) {
      const float* soon = next && t < kTileVectors ? next + t * depth * kLanes : nullptr;
      kTiles[tiles_.length(t)](tile(layer, t), panel, depth, c, row + tiles_.begin(t), column,
                               columns, add, soon);
    }
  }

 private:
  float* tile(int64_t l, int64_t t) const {
    return values_.data() + layers_.begin(l) * tiles_.size + layers_.length(l) * tiles_.begin(t);
  }

  Pieces layers_, tiles_;
  Buffer values_;
};

// Columns of B, at most a tile's.
struct Columns {
  int64_t begin;
  int count;
};

// B in panels, for one that many A are multiplied with. The memory is the caller's: `size` floats.
class PackedMatrix {
 public:
  PackedMatrix(int64_t depth, std::vector<Columns> panels, float* values)
      : layers_(depth, kDepth), panels_(std::move(panels)), values_(values) {}

  static int64_t size(int64_t depth, int64_t panels) { return depth * panels * kTileColumns; }

  int64_t count() const { return static_cast<int64_t>(panels_.size()); }

  // Packs on all threads.
  template <typename B>
  void pack(Threads& threads, const Operand<B>& b) {
    threads.run(layers_.count * count(), [&](int64_t i) {
      const int64_t p = i / layers_.count, l = i % layers_.count;
      pack_columns(b, layers_.begin(l), layers_.length(l), panels_[p].begin, panels_[p].count,
                   panel(l, p));
    });
  }

  // C = or += A times panel `p`, on the calling thread; panel `p + 1` will probably be next.
  void multiply(const PackedRows& a, int64_t p, const Matrix<float>& c, int64_t column,
                bool add) const {
    for (int64_t l = 0; l < layers_.count; ++l) {
      const float* next = p + 1 < count() ? panel(l, p + 1) : nullptr;
      a.multiply(l, panel(l, p), c, 0, column, panels_[p].count, add || l > 0, next);
    }
  }

 private:
  float* panel(int64_t l, int64_t p) const {
    const int64_t before = layers_.begin(l) + layers_.size * p;  // a panel's layers lie together
    return values_ + before * kTileColumns;
  }

  Pieces layers_;
  std::vector<Columns> panels_;
  float* values_;
};

// Multiplies on all threads.
template <typename A, typename B>
void multiply(Threads& threads, const Operand<A>& a, const Operand<B>& b, const Matrix<float>& c,
              int64_t rows, int64_t depth, int64_t columns, bool add = false) {
  if (depth == 0 && !add) {
    for (int64_t i = 0; i < rows; ++i) std::memset(c.row(i), 0, columns * sizeof(float));
  }
  const Pieces slabs(rows, kRows), layers(depth, kDepth);
  const int64_t panels = (columns + kTileColumns - 1) / kTileColumns;
  for (int64_t s = 0; s < slabs.count; ++s) {
    for (int64_t l = 0; l < layers.count; ++l) {
      PackedRows packed(slabs.length(s), layers.length(l));
      packed.pack(threads, a, slabs.begin(s), slabs.length(s), layers.begin(l));
      threads.run(panels, [&](int64_t p) {
        thread_local Buffer panel(kDepth * kTileColumns);
        const int64_t column = p * kTileColumns;
        const int width = std::min<int64_t>(kTileColumns, columns - column);
        pack_columns(b, layers.begin(l), layers.length(l), column, width, panel.data());
        packed.multiply(0, panel.data(), c, slabs.begin(s), column, width, add || l > 0);
      });
    }
  }
}

// Sums rows `(count, columns)`.
inline void sum_rows(Threads& threads, const Matrix<const float>& rows, int64_t count,
                     int64_t columns, float* sums) {
  const Pieces pieces(columns, 256);
  threads.run(pieces.count, [&](int64_t p) {
    const int64_t begin = pieces.begin(p), length = pieces.length(p);
    std::memset(sums + begin, 0, length * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      const float* row = rows.row(i) + begin;
      for (int64_t j = 0; j < length; ++j) sums[begin + j] += row[j];
    }
  });
}

}  // namespace seq2seq
