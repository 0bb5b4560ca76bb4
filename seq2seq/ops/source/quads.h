// Products in 8 bits: operands as words of four values, each row and each column with its own scale.
//
// A value is its scale times an integer from -127 to 127. The integers of a product's left rows are
// kept 128 higher, since processors multiply unsigned bytes with signed ones; what that adds to a
// column's sums is the same for all rows, and taken off at the end. So each operand has two words
// more than its values need, at the end of its depth: the scale, and of a right one what to take off.
// A line with a value that is not a number has such a scale, and so have all its products.
#pragma once

#ifdef SEQ2SEQ_QUADS

#include "product.h"

namespace seq2seq {

struct Quads : Singles {
  static constexpr int kExtra = 2;
  static constexpr int kHighest = 127;
  static constexpr uint32_t kShift = 128;

  // The words of so many values, and the two more.
  static int64_t packed_depth(int64_t depth) { return (depth + 3) / 4 + kExtra; }
  // Whether all of them are in one layer: only there the extra words are where `finished` looks.
  static bool fit(int64_t depth) { return packed_depth(depth) <= kDepth; }

  // The instruction itself: given vectors of integers and of floats in turn, GCC keeps both in memory.
  static Vector multiply_add(Vector left, Vector right, Vector sum) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
    return sum;
  }

  // The product of sums of integers, from the extra words of both operands.
  static Vector finished(Vector sum, float left, const float* right) {
    const Words exact =
        reinterpret_cast<Words>(sum) - reinterpret_cast<Words>(load(right + kTileColumns));
    return reinterpret_cast<Vector>(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(exact))) *
           (left * load(right));
  }

  // A left operand: `rows` rows of `depth` values.
  template <typename T>
  static Operand<float> left(Threads& threads, const T* values, int64_t rows, int64_t depth,
                             const Buffer& words) {
    return lines<true>(threads, values, rows, depth, words);
  }

  // A right operand, as its matrix lies in memory.
  static Operand<float> right(Threads& threads, const Operand<float>& b, int64_t depth,
                              int64_t columns, const Buffer& words) {
    const float* values = b.matrix.data;
    if (b.transposed) {
      Operand<float> quads = lines<false>(threads, values, columns, depth, words);
      quads.transposed = true;
      return quads;
    }
    const Pieces pieces(columns, kColumnsInTurn);
    threads.run(pieces.count, [&](int64_t p) {
      const int64_t begin = pieces.begin(p);
      from_columns(values + begin, columns, depth, pieces.length(p), words.data() + begin);
    });
    return {{words.data(), columns}};
  }

 private:
  static constexpr int kLinesInTurn = 16, kColumnsInTurn = 128;

  template <bool is_left, typename T>
  static Operand<float> lines(Threads& threads, const T* values, int64_t count, int64_t depth,
                              const Buffer& words) {
    const int64_t width = packed_depth(depth);
    const Pieces pieces(count, kLinesInTurn);
    threads.run(pieces.count, [&](int64_t p) {
      for (int64_t i = pieces.begin(p); i < pieces.begin(p + 1); ++i) {
        from_line<is_left>(values + i * depth, depth, words.data() + i * width);
      }
    });
    return {{words.data(), width}};
  }

  // A line of a left operand, or of a right one that is transposed.
  template <bool is_left, typename T>
  static void from_line(const T* line, int64_t depth, float* words) {
    const auto some = [&](int64_t k) {
      return load(line + k, static_cast<int>(std::min<int64_t>(kLanes, depth - k)));
    };
    Vector highest{};
    for (int64_t k = 0; k < depth; k += kLanes) highest = larger_size(highest, absolute(some(k)));
    for (int i = 1; i < kLanes; ++i) highest = larger_size(highest, broadcast(highest[i]));
    const float most = highest[0];
    const float scale = most / kHighest, inverse = most > 0 ? kHighest / most : 0;
    auto* bytes = reinterpret_cast<int8_t*>(words);
    Words sums{};
    for (int64_t k = 0; k < depth; k += kLanes) {
      const Words values = nearest(some(k) * inverse) + (is_left ? kShift : 0u);
      if (!is_left) sums += values;
      const int64_t kept = std::min<int64_t>(kLanes, (depth - k + 3) / 4 * 4);
      _mm512_mask_cvtepi32_storeu_epi8(bytes + k, static_cast<__mmask16>((1u << kept) - 1),
                                       reinterpret_cast<__m512i>(values));
    }
    uint32_t total = 0;
    for (int i = 0; i < kLanes; ++i) total += sums[i];
    store_extra(words + (depth + 3) / 4, 1, broadcast(scale), Words{} + kShift * total, 1);
  }

  // Columns of a right operand, at most `kColumnsInTurn`; its words have the rows' `stride`.
  static void from_columns(const float* first, int64_t stride, int64_t depth, int64_t columns,
                           float* words) {
    constexpr int kVectors = kColumnsInTurn / kLanes;
    Vector highest[kVectors] = {}, inverse[kVectors];
    Words sums[kVectors] = {};
    // Calls `some` with each vector of the columns, where it begins and how many they are.
    const auto each = [&](const auto& some) {
      for (int v = 0; v * kLanes < columns; ++v) {
        some(v, v * kLanes, std::min<int64_t>(kLanes, columns - v * kLanes));
      }
    };
    for (int64_t k = 0; k < depth; ++k) {
      each([&](int v, int at, int count) {
        highest[v] = larger_size(highest[v], absolute(load(first + k * stride + at, count)));
      });
    }
    each([&](int v, int, int) {
      inverse[v] = select(highest[v] > 0.f, kHighest / highest[v], Vector{});
    });
    for (int64_t k = 0; k < depth; k += 4, words += stride) {
      each([&](int v, int at, int count) {
        Words word{};
        for (int i = 0; i < std::min<int64_t>(4, depth - k); ++i) {
          const Words values = nearest(load(first + (k + i) * stride + at, count) * inverse[v]);
          sums[v] += values;
          word |= (values & 0xff) << (8 * i);
        }
        store(words + at, reinterpret_cast<Vector>(word), count);
      });
    }
    each([&](int v, int at, int count) {
      store_extra(words + at, stride, highest[v] / kHighest, kShift * sums[v], count);
    });
  }

  // Of values without a sign the larger one; what is not a number is larger than all.
  static Vector larger_size(Vector a, Vector b) {
    return select(reinterpret_cast<Integers>(a) > reinterpret_cast<Integers>(b), a, b);
  }
  static Vector absolute(Vector x) {
    return reinterpret_cast<Vector>(reinterpret_cast<Integers>(x) & 0x7fffffff);
  }
  // As words, whose sums may wrap around: what is not a number is some integer, too.
  static Words nearest(Vector x) {
    return reinterpret_cast<Words>(_mm512_cvtps_epi32(reinterpret_cast<__m512>(x)));
  }
  static void store_extra(float* words, int64_t stride, Vector scale, Words shift, int count) {
    store(words, scale, count);
    store(words + stride, reinterpret_cast<Vector>(shift), count);
  }
};

}  // namespace seq2seq
#endif
