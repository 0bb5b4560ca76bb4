// Matrix products on rows that may lie anywhere in memory, in float32 registers.
//
// C (rows x columns) = or += A (rows x depth) * B (depth x columns). Tiles of C are kept in
// registers while panels of A and B, packed in the order of their use, stream by (Goto & van de
// Geijn, 2008, https://doi.org/10.1145/1356052.1356053).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "buffer.h"
#include "threads.h"
#include "words.h"

namespace seq2seq {

constexpr int kTileRows = 14;              // 28 accumulators of the 32 registers of AVX-512
constexpr int kTileVectors = 2;
constexpr int kTileColumns = kTileVectors * kLanes;
constexpr int64_t kDepth = 512;            // words; a panel of B: 64 KiB, within the second cache
constexpr int64_t kRows = 2048;
constexpr int64_t kSlab = kRows * kDepth;  // words of A that are packed together: 4 MiB at most
constexpr int64_t kPanelsInTurn = 4;       // by one thread, which fetches each while it uses another

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
// Does what `interleave` does to the first words, as many as fill whole blocks, and returns how
// many. What a block writes too much to the right the next one overwrites.
template <typename Words, typename T>
int64_t interleave_blocks(const T* const* from, int lines, int64_t count, int64_t stride,
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
        blocks[g][i] = line < lines ? Words::along(from[line] + k * Words::kValues) : Vector{};
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

// Packs `lines` lines of `depth` values, so that the words of one depth lie side by side.
template <typename Words, typename T>
void interleave(const T* const* from, int lines, int64_t depth, int64_t stride, float* to) {
  int64_t first = 0;
#ifdef SEQ2SEQ_TRANSPOSES
  first = interleave_blocks<Words>(from, lines, depth / Words::kValues, stride, to);
#endif
  for (int64_t k = first; k * Words::kValues < depth; ++k) {
    const int64_t at = k * Words::kValues;
    for (int i = 0; i < lines; ++i) to[k * stride + i] = Words::one(from[i] + at, depth - at);
  }
}

// Packs `lines` columns that begin at `column` of `depth` rows from `row` on, as `interleave` does.
template <typename Words, typename T>
void join_rows(const Matrix<const T>& from, int64_t row, int64_t depth, int64_t column, int lines,
               int64_t stride, float* to) {
  for (int64_t k = 0; k < depth; k += Words::kValues, to += stride) {
    const T* first = from.row(row + k) + column;
    const T* second = k + 1 < depth ? from.row(row + k + 1) + column : nullptr;
    for (int i = 0; i < lines; i += kLanes) {
      const int count = std::min(kLanes, lines - i);
      store(to + i, Words::across(first + i, second ? second + i : nullptr, count), count);
    }
  }
}

template <typename Words, typename T>
void pack_rows(const Operand<T>& a, int64_t row, int rows, int64_t depth, int64_t count,
               float* packed) {
  if (a.transposed) return join_rows<Words>(a.matrix, depth, count, row, rows, rows, packed);
  const T* from[kTileRows] = {};
  for (int i = 0; i < rows; ++i) from[i] = a.matrix.row(row + i) + depth;
  interleave<Words>(from, rows, count, rows, packed);
}

template <typename Words, typename T>
void pack_columns(const Operand<T>& b, int64_t depth, int64_t count, int64_t column, int columns,
                  float* packed) {
  if (columns < kTileColumns) {
    std::memset(packed, 0, Words::count(count) * kTileColumns * sizeof(float));
  }
  if (!b.transposed) {
    return join_rows<Words>(b.matrix, depth, count, column, columns, kTileColumns, packed);
  }
  const T* from[kTileColumns] = {};
  for (int j = 0; j < columns; ++j) from[j] = b.matrix.row(column + j) + depth;
  interleave<Words>(from, columns, count, kTileColumns, packed);
}

// What a tile's columns are added to: C itself, a row that is the same for all, or nothing.
struct Onto {
  bool c = false;
  const float* row = nullptr;
};

// Lines of memory that will be wanted soon, `stride` bytes apart; null if none.
struct Lines {
  const char* first = nullptr;
  int64_t stride = 0;
};

template <typename Words, int rows>
void tile(const float* __restrict a, const float* __restrict b, int64_t depth,
          const Matrix<float>& c, int64_t row, int64_t column, int columns, const Onto& onto,
          Lines soon) {
  Vector sums[rows][kTileVectors] = {};
  const int64_t last = depth - Words::kExtra;
  for (int64_t k = 0; k < last; ++k) {
    if (soon.first) __builtin_prefetch(soon.first + k * soon.stride, 0, 2);
    __builtin_prefetch(a + (depth + k) * rows, 0, 2);  // of the next tile
    Vector right[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) right[v] = load(b + k * kTileColumns + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vector left = broadcast(a[k * rows + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        sums[i][v] = Words::multiply_add(left, right[v], sums[i][v]);
      }
    }
  }
  if constexpr (Words::kExtra > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        sums[i][v] = Words::finished(sums[i][v], a[last * rows + i],
                                     b + last * kTileColumns + v * kLanes);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    float* to = c.row(row + i) + column;
    const float* from = onto.row ? onto.row + column : onto.c ? to : nullptr;
    if (columns == kTileColumns) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const Vector sum = from ? sums[i][v] + load(from + v * kLanes) : sums[i][v];
        store(to + v * kLanes, sum);
      }
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const int n = std::min(kLanes, columns - v * kLanes);
        if (n <= 0) break;
        const Vector sum = from ? sums[i][v] + load(from + v * kLanes, n) : sums[i][v];
        store(to + v * kLanes, sum, n);
      }
    }
  }
}

using Tile = void (*)(const float*, const float*, int64_t, const Matrix<float>&, int64_t, int64_t,
                      int, const Onto&, Lines);
template <typename W>
inline constexpr Tile kTiles[kTileRows + 1] = {
    nullptr,     tile<W, 1>,  tile<W, 2>,  tile<W, 3>,  tile<W, 4>,
    tile<W, 5>,  tile<W, 6>,  tile<W, 7>,  tile<W, 8>,  tile<W, 9>,
    tile<W, 10>, tile<W, 11>, tile<W, 12>, tile<W, 13>, tile<W, 14>};

// Cuts `size` into as few pieces as possible, of nearly one size, none above `largest`.
struct Pieces {
  int64_t size, count;
  Pieces(int64_t size, int64_t largest) : size(size), count((size + largest - 1) / largest) {}
  int64_t begin(int64_t piece) const { return size * piece / count; }
  int64_t length(int64_t piece) const { return begin(piece + 1) - begin(piece); }
};

// Rows of A, packed layer by layer of its depth, in tiles.
template <typename Words>
class PackedRows {
 public:
  PackedRows(int64_t most_rows, int64_t depth)
      : depth_(depth),
        layers_(Words::count(depth), kDepth),
        tiles_(0, kTileRows),
        values_(most_rows * Words::count(depth)) {}

  // Packs on all threads.
  template <typename T>
  void pack(Threads& threads, const Operand<T>& a, int64_t row, int64_t rows, int64_t begin = 0) {
    tiles_ = Pieces(rows, kTileRows);
    threads.run(tiles_.count * layers_.count, [&](int64_t i) {
      const int64_t l = i / tiles_.count, t = i % tiles_.count;
      const Layer some = layer(l);
      pack_rows<Words>(a, row + tiles_.begin(t), tiles_.length(t), begin + some.begin, some.depth,
                       tile(l, t));
    });
  }

  int64_t layers() const { return layers_.count; }
  Layer layer(int64_t l) const {
    return Words::layer(layers_.begin(l), layers_.length(l), depth_);
  }

  // C = a layer of A times a panel of B, added to what `onto` says; `soon` says what a tile fetches
  // meanwhile.
  template <typename Soon>
  void multiply(int64_t layer, const float* panel, const Matrix<float>& c, int64_t row,
                int64_t column, int columns, const Onto& onto, const Soon& soon) const {
    for (int64_t t = 0; t < tiles_.count; ++t) {
      kTiles<Words>[tiles_.length(t)](tile(layer, t), panel, layers_.length(layer), c,
                                      row + tiles_.begin(t), column, columns, onto, soon(t));
    }
  }

 private:
  float* tile(int64_t l, int64_t t) const {
    return values_.data() + layers_.begin(l) * tiles_.size + layers_.length(l) * tiles_.begin(t);
  }

  int64_t depth_;
  Pieces layers_, tiles_;
  Buffer values_;
};

// Columns of B, at most a tile's.
struct Columns {
  int64_t begin;
  int count;
};

// B in panels, for one that many A are multiplied with. The memory is the caller's: `size` floats.
template <typename Words>
class PackedMatrix {
 public:
  PackedMatrix(int64_t depth, std::vector<Columns> panels, float* values)
      : depth_(depth),
        layers_(Words::count(depth), kDepth),
        panels_(std::move(panels)),
        values_(values) {}

  static int64_t size(int64_t depth, int64_t panels) {
    return Words::count(depth) * panels * kTileColumns;
  }

  int64_t count() const { return static_cast<int64_t>(panels_.size()); }

  // Packs on all threads.
  template <typename B>
  void pack(Threads& threads, const Operand<B>& b) {
    threads.run(layers_.count * count(), [&](int64_t i) {
      const int64_t p = i / layers_.count, l = i % layers_.count;
      const Layer layer = Words::layer(layers_.begin(l), layers_.length(l), depth_);
      pack_columns<Words>(b, layer.begin, layer.depth, panels_[p].begin, panels_[p].count,
                          panel(l, p));
    });
  }

  // C = A times panel `p`, added to what `onto` says, on the calling thread; panel `p + 1` will
  // probably be next.
  void multiply(const PackedRows<Words>& a, int64_t p, const Matrix<float>& c, int64_t column,
                const Onto& onto) const {
    for (int64_t l = 0; l < layers_.count; ++l) {
      const auto* next = reinterpret_cast<const char*>(p + 1 < count() ? panel(l, p + 1) : nullptr);
      constexpr int64_t line = kLanes * sizeof(float);
      const auto soon = [&](int64_t t) {
        return next && t < kTileVectors ? Lines{next + t * layers_.length(l) * line, line} : Lines{};
      };
      a.multiply(l, panel(l, p), c, 0, column, panels_[p].count, l > 0 ? Onto{true} : onto, soon);
    }
  }

 private:
  float* panel(int64_t l, int64_t p) const {
    const int64_t before = layers_.begin(l) + layers_.size * p;  // a panel's layers lie together
    return values_ + before * kTileColumns;
  }

  int64_t depth_;
  Pieces layers_;
  std::vector<Columns> panels_;
  float* values_;
};

// A panel of an operand as it lies in memory; a tile `t` fetches its share of it.
template <typename Words, typename T>
struct Unpacked {
  const T* first;
  int64_t stride;

  Unpacked(const Operand<T>& b, int64_t depth, int64_t column)
      : first(b.transposed ? nullptr : b.matrix.row(depth) + column),
        stride(b.matrix.stride * sizeof(T)) {}

  Lines operator()(int64_t t) const {
    constexpr int64_t line = kLanes * sizeof(float), lines = kTileColumns * sizeof(T) / line;
    if (!first || t >= lines * Words::kValues) return {};
    return {reinterpret_cast<const char*>(first) + t / lines * stride + t % lines * line,
            Words::kValues * stride};
  }
};

// Some rows of A * B, which become those of C, added to what `onto` says.
template <typename A>
struct Left {
  Operand<A> a;
  Matrix<float> c;
  int64_t row, rows;
  Onto onto = {};
};

// Multiplies several A with one B, which is packed once for all, on all threads.
template <typename Words, typename B, typename... A>
void multiply_all(Threads& threads, const Operand<B>& b, int64_t depth, int64_t columns,
                  const Left<A>&... lefts) {
  constexpr int kLefts = sizeof...(A);
  struct Target {
    Matrix<float> c;
    int64_t row;
    Onto onto;
  };
  const Target targets[kLefts] = {{lefts.c, lefts.row, lefts.onto}...};
  const int64_t panels = (columns + kTileColumns - 1) / kTileColumns, rows = (lefts.rows + ...);
  const int64_t fair = std::max<int64_t>(1, panels / (4 * threads.count()));
  const Pieces turns(panels, std::min(fair, kPanelsInTurn));
  const Pieces passes(Words::count(depth), std::max(kDepth, kSlab / rows / kDepth * kDepth));
  for (int64_t pass = 0; pass < passes.count; ++pass) {
    const Layer some = Words::layer(passes.begin(pass), passes.length(pass), depth);
    std::optional<PackedRows<Words>> packed[kLefts];
    int next_left = 0;
    const auto pack = [&](const auto& left) {
      auto& rows_of_left = packed[next_left++].emplace(left.rows, some.depth);
      rows_of_left.pack(threads, left.a, left.row, left.rows, some.begin);
    };
    (pack(lefts), ...);
    threads.run(turns.count, [&](int64_t turn) {
      const Buffer panel(kDepth * kTileColumns);
      for (int64_t p = turns.begin(turn); p < turns.begin(turn + 1); ++p) {
        const int64_t column = p * kTileColumns, layers = packed[0]->layers();
        const int width = std::min<int64_t>(kTileColumns, columns - column);
        for (int64_t l = 0; l < layers; ++l) {
          const Layer layer = packed[0]->layer(l);
          const bool last = l + 1 == layers;
          const Unpacked<Words, B> next(b, some.begin + packed[0]->layer(last ? 0 : l + 1).begin,
                                        last ? column + kTileColumns : column);
          pack_columns<Words>(b, some.begin + layer.begin, layer.depth, column, width,
                              panel.data());
          for (int i = 0; i < kLefts; ++i) {
            const Target& to = targets[i];
            packed[i]->multiply(l, panel.data(), to.c, to.row, column, width,
                                pass > 0 || l > 0 ? Onto{true} : to.onto,
                                [&](int64_t t) { return i == 0 ? next(t) : Lines{}; });
          }
        }
      }
    });
  }
}

// C = A * B, added to what `onto` says, on all threads.
template <typename Words, typename A, typename B>
void multiply(Threads& threads, const Operand<A>& a, const Operand<B>& b, const Matrix<float>& c,
              int64_t rows, int64_t depth, int64_t columns, const Onto& onto = {}) {
  for (int64_t i = 0; depth == 0 && !onto.c && i < rows; ++i) {
    onto.row ? std::memcpy(c.row(i), onto.row, columns * sizeof(float))
             : std::memset(c.row(i), 0, columns * sizeof(float));
  }
  const Pieces slabs(rows, kRows);
  for (int64_t s = 0; s < slabs.count; ++s) {
    multiply_all<Words>(threads, b, depth, columns,
                        Left<A>{a, c, slabs.begin(s), slabs.length(s), onto});
  }
}

// Sums rows `(count, columns)`.
template <typename T>
void sum_rows(Threads& threads, const Matrix<const T>& rows, int64_t count, int64_t columns,
              float* sums) {
  const Pieces pieces(columns, 256);
  threads.run(pieces.count, [&](int64_t p) {
    const int64_t begin = pieces.begin(p), length = pieces.length(p);
    std::memset(sums + begin, 0, length * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      const T* row = rows.row(i) + begin;
      for (int64_t j = 0; j < length; ++j) sums[begin + j] += to_float(row[j]);
    }
  });
}

}  // namespace seq2seq
