// The matrix product C (rows x columns) = A (rows x depth) * B (depth x columns) on all threads,
// with A, B and C strided or gathered, A and B transposed or not, accumulated into C or added to a
// bias.
//
//   for passes over the depth (one, unless all rows of packed A exceed kPackedALimit)
//     pack A: by depth blocks, each in tiles of 14 rows
//     in parallel, for panels of 32 columns of B and C (and, if threads   B
//       outnumber them, for parts of the rows)
//       for depth blocks                                          +---+---+---+
//         pack the block of the panel: 64 KiB, in the L2 cache    |   | p |   |  kDepthBlock
//         for tiles of A                                          +---+---+---+
//           microkernel: c += t * p, in registers           A     |   |   |   |
//                                                       +---+---+ +---+---+---+
//                                                       |   |   | |   |   |   |
//                                                       +---+---+ +---+---+---+
//                                                       | t |   | |   | c |   |  14 rows
//                                                       +---+---+ +---+---+---+
//                                                                       C
//
// While a thread works on a panel, its first tiles prefetch the next one. Weights that many A are
// multiplied with are packed once as a PackedB.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "amx.h"
#include "buffer.h"
#include "microkernel.h"
#include "packing.h"
#include "partition.h"
#include "thread_pool.h"

namespace seq2seq {

constexpr int64_t kDepthBlock = 512;  // elements: a block of a panel of B has 64 KiB
constexpr int64_t kRowBlock = 2048;   // rows of A that are packed together
constexpr int64_t kPackedALimit = kRowBlock * kDepthBlock;  // elements: 4 MiB
constexpr int64_t kPanelsPerTask = 4;
constexpr int64_t kRowsPerPart = 128;  // at least, where threads share a panel: each packs it

// How tiles of A are packed and multiplied: in vector registers, or in AMX's tile registers.
template <typename Element, typename Tiles = typename Element::Tiles>
struct Microkernels {
  template <typename T>
  static void pack_a(const Operand<T>& a, int64_t row, int rows, DepthRange range, float* packed) {
    pack_a_tile<Element>(a, row, rows, range, packed);
  }
  // What a thread does before it multiplies.
  static void prepare_thread() {}
  static void multiply(int rows, const float* a, const float* b, int64_t depth, const TileOfC& tile,
                       const Epilogue& epilogue, PrefetchNext next) {
    Compiled<Element>::kMicrokernels[rows](a, b, depth, tile, epilogue, next);
  }
};
#ifdef SEQ2SEQ_AMX
template <typename Element>
struct Microkernels<Element, AmxTiles> {
  template <typename T>
  static void pack_a(const Operand<T>& a, int64_t row, int rows, DepthRange range, float* packed) {
    pack_amx_tile<Element>(a, row, rows, range, packed);
  }
  static void prepare_thread() { configure_tiles(); }
  static void multiply(int rows, const float* a, const float* b, int64_t depth, const TileOfC& tile,
                       const Epilogue& epilogue, PrefetchNext next) {
    amx_microkernel<Element>(rows, a, b, depth, tile, epilogue, next);
  }
};
#endif

// Rows of A, packed depth block by depth block, in tiles.
template <typename Element>
class PackedA {
 public:
  PackedA(int64_t max_rows, int64_t depth)
      : depth_(depth),
        depth_blocks_(Element::elements(depth), kDepthBlock, Tiles::kDepthUnit),
        tiles_(0, Tiles::kRows),
        values_(round_up(max_rows, Tiles::kRowUnit) * Element::elements(depth)) {}

  // Packs rows from `row` on, of the depth from `begin` on, on all threads.
  template <typename T>
  void pack(ThreadPool& pool, const Operand<T>& a, int64_t row, int64_t rows, int64_t begin = 0) {
    tiles_ = Partition(rows, Tiles::kRows, Tiles::kRowUnit);
    pool.parallel_for(tiles_.count * depth_blocks_.count, [&](int64_t i) {
      const int64_t block = i / tiles_.count, t = i % tiles_.count;
      const DepthRange range = depth_range(block);
      Microkernels<Element>::pack_a(a, row + tiles_.begin(t), static_cast<int>(tiles_.length(t)),
                                    {begin + range.begin, range.depth}, tile(block, t));
    });
  }

  int64_t depth_blocks() const { return depth_blocks_.count; }
  DepthRange depth_range(int64_t block) const {
    return Element::depth_range(depth_blocks_.begin(block), depth_blocks_.length(block), depth_);
  }

  // C = a depth block of A times a panel of B; C's rows begin at `row`. `prefetch(t)` says what
  // tile t prefetches. Multiplies the tiles of a part of A's rows, by default of all.
  template <typename Prefetch>
  void multiply(int64_t block, const float* panel, const MatrixView<float>& c, int64_t row,
                int64_t column, int columns, const Epilogue& epilogue, const Prefetch& prefetch,
                int64_t part = 0, int64_t parts = 1) const {
    Microkernels<Element>::prepare_thread();
    const int64_t end = tiles_.count * (part + 1) / parts;
    for (int64_t t = tiles_.count * part / parts; t < end; ++t) {
      Microkernels<Element>::multiply(
          static_cast<int>(tiles_.length(t)), tile(block, t), panel, depth_blocks_.length(block),
          {c, row + tiles_.begin(t), column, columns}, epilogue, prefetch(t));
    }
  }

 private:
  using Tiles = typename Element::Tiles;

  float* tile(int64_t block, int64_t t) const {
    return values_.data() + depth_blocks_.begin(block) * round_up(tiles_.size, Tiles::kRowUnit) +
           depth_blocks_.length(block) * tiles_.begin(t);
  }

  int64_t depth_;
  Partition depth_blocks_, tiles_;
  Buffer values_;
};

// The columns of B in a panel, at most kTileColumns.
struct PanelColumns {
  int64_t begin;
  int count;
};

// B in panels, each with all its depth blocks; the caller owns the memory, `size` elements.
template <typename Element>
class PackedB {
 public:
  PackedB(int64_t depth, std::vector<PanelColumns> panels, float* values)
      : depth_(depth),
        depth_blocks_(Element::elements(depth), kDepthBlock, Element::Tiles::kDepthUnit),
        panels_(std::move(panels)),
        values_(values) {}

  static int64_t size(int64_t depth, int64_t panels) {
    return Element::elements(depth) * panels * kTileColumns;
  }

  int64_t panels() const { return static_cast<int64_t>(panels_.size()); }

  // Packs on all threads.
  template <typename T>
  void pack(ThreadPool& pool, const Operand<T>& b) {
    pool.parallel_for(depth_blocks_.count * panels(), [&](int64_t i) {
      const int64_t p = i / depth_blocks_.count, block = i % depth_blocks_.count;
      const DepthRange range =
          Element::depth_range(depth_blocks_.begin(block), depth_blocks_.length(block), depth_);
      pack_b_panel<Element>(b, range, panels_[p].begin, panels_[p].count, panel(block, p));
    });
  }

  // C = A times panel `p`, on the calling thread; panel `p + 1` is prefetched.
  void multiply(const PackedA<Element>& a, int64_t p, const MatrixView<float>& c, int64_t column,
                const Epilogue& epilogue) const {
    for (int64_t block = 0; block < depth_blocks_.count; ++block) {
      const auto* next =
          reinterpret_cast<const char*>(p + 1 < panels() ? panel(block, p + 1) : nullptr);
      constexpr int64_t kVector = kLanes * sizeof(float);  // bytes
      const auto prefetch = [&](int64_t t) {
        return next && t < kTileVectors
                   ? PrefetchNext{next + t * depth_blocks_.length(block) * kVector, kVector}
                   : PrefetchNext{};
      };
      a.multiply(block, panel(block, p), c, 0, column, panels_[p].count,
                 block > 0 ? Epilogue::accumulate_into_c() : epilogue, prefetch);
    }
  }

 private:
  float* panel(int64_t block, int64_t p) const {
    const int64_t elements_before = depth_blocks_.begin(block) + depth_blocks_.size * p;
    return values_ + elements_before * kTileColumns;
  }

  int64_t depth_;
  Partition depth_blocks_;
  std::vector<PanelColumns> panels_;
  float* values_;
};

// Prefetches a panel of B as it lies in memory, while the panel before it is multiplied: tile `t`
// prefetches a share of it.
template <typename Element, typename T>
struct PanelPrefetch {
  const T* first;
  int64_t stride;

  PanelPrefetch(const Operand<T>& b, int64_t depth, int64_t column)
      : first(b.transposed ? nullptr : b.matrix.row(depth) + column),
        stride(b.matrix.stride * sizeof(T)) {}

  PrefetchNext operator()(int64_t t) const {
    constexpr int64_t kVector = kLanes * sizeof(float),  // bytes
        kVectorsPerRow = kTileColumns * sizeof(T) / kVector;
    if (!first || t >= kVectorsPerRow * Element::kValues) return {};
    return {reinterpret_cast<const char*>(first) + t / kVectorsPerRow * stride +
                t % kVectorsPerRow * kVector,
            Element::kValues * stride};
  }
};

// One of several products with a shared B: rows `row` to `row + rows` of A and of C.
template <typename T>
struct GemmTask {
  Operand<T> a;
  MatrixView<float> c;
  int64_t row, rows;
  Epilogue epilogue = {};
};

// Multiplies several A with one B, whose panels are packed once for all, on all threads.
template <typename Element, typename B, typename... A>
void gemm_shared_b(ThreadPool& pool, const Operand<B>& b, int64_t depth, int64_t columns,
                   const GemmTask<A>&... tasks) {
  constexpr int kTasks = sizeof...(A);
  struct Target {
    MatrixView<float> c;
    int64_t row;
    Epilogue epilogue;
  };
  const Target targets[kTasks] = {{tasks.c, tasks.row, tasks.epilogue}...};
  const int64_t panels = (columns + kTileColumns - 1) / kTileColumns, rows = (tasks.rows + ...);
  const int64_t fair_share = std::max<int64_t>(1, panels / (4 * pool.count()));
  const Partition groups(panels, std::min(fair_share, kPanelsPerTask));
  // Threads that find no panels of their own share those of others, each for a part of the rows.
  const int64_t parts = std::clamp<int64_t>(pool.count() / std::max<int64_t>(1, groups.count), 1,
                                            std::max<int64_t>(1, rows / kRowsPerPart));
  const Partition passes(Element::elements(depth),
                         std::max(kDepthBlock, kPackedALimit / rows / kDepthBlock * kDepthBlock),
                         Element::Tiles::kDepthUnit);
  for (int64_t pass = 0; pass < passes.count; ++pass) {
    const DepthRange in_pass = Element::depth_range(passes.begin(pass), passes.length(pass), depth);
    std::optional<PackedA<Element>> packed[kTasks];
    int next_task = 0;
    const auto pack = [&](const auto& task) {
      auto& packed_a = packed[next_task++].emplace(task.rows, in_pass.depth);
      packed_a.pack(pool, task.a, task.row, task.rows, in_pass.begin);
    };
    (pack(tasks), ...);
    pool.parallel_for(groups.count * parts, [&](int64_t i) {
      const int64_t group = i / parts, part = i % parts;
      const Buffer panel(kDepthBlock * kTileColumns);
      for (int64_t p = groups.begin(group); p < groups.begin(group + 1); ++p) {
        const int64_t column = p * kTileColumns, depth_blocks = packed[0]->depth_blocks();
        const int width = std::min<int64_t>(kTileColumns, columns - column);
        for (int64_t block = 0; block < depth_blocks; ++block) {
          const DepthRange range = packed[0]->depth_range(block);
          const bool last = block + 1 == depth_blocks;
          const PanelPrefetch<Element, B> next(
              b, in_pass.begin + packed[0]->depth_range(last ? 0 : block + 1).begin,
              last ? column + kTileColumns : column);
          pack_b_panel<Element>(b, {in_pass.begin + range.begin, range.depth}, column, width,
                                panel.data());
          for (int task = 0; task < kTasks; ++task) {
            const Target& to = targets[task];
            packed[task]->multiply(
                block, panel.data(), to.c, to.row, column, width,
                pass > 0 || block > 0 ? Epilogue::accumulate_into_c() : to.epilogue,
                [&](int64_t t) { return task == 0 ? next(t) : PrefetchNext{}; }, part, parts);
          }
        }
      }
    });
  }
}

// C = A * B, followed by the epilogue, on all threads.
template <typename Element, typename A, typename B>
void gemm(ThreadPool& pool, const Operand<A>& a, const Operand<B>& b, const MatrixView<float>& c,
          int64_t rows, int64_t depth, int64_t columns, const Epilogue& epilogue = {}) {
  for (int64_t i = 0; depth == 0 && !epilogue.accumulate && i < rows; ++i) {
    epilogue.bias ? std::memcpy(c.row(i), epilogue.bias, columns * sizeof(float))
                  : std::memset(c.row(i), 0, columns * sizeof(float));
  }
  const Partition row_blocks(rows, kRowBlock);
  for (int64_t r = 0; r < row_blocks.count; ++r) {
    gemm_shared_b<Element>(pool, b, depth, columns,
                           GemmTask<A>{a, c, row_blocks.begin(r), row_blocks.length(r), epilogue});
  }
}

// Sums `count` rows of `columns` values, on all threads.
template <typename T>
void sum_rows(ThreadPool& pool, const MatrixView<const T>& rows, int64_t count, int64_t columns,
              float* sums) {
  const Partition parts(columns, 256);
  pool.parallel_for(parts.count, [&](int64_t p) {
    const int64_t begin = parts.begin(p), length = parts.length(p);
    std::memset(sums + begin, 0, length * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      const T* row = rows.row(i) + begin;
      for (int64_t j = 0; j < length; ++j) sums[begin + j] += to_float(row[j]);
    }
  });
}

}  // namespace seq2seq
