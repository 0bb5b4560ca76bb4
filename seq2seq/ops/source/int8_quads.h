// Products in 8 bits with AVX-512 VNNI or AMX: elements of four values that follow each other in depth.
//
// Each row of A, and each column of B, is quantized to integers from -127 to 127 times a scale of
// its own. The instruction multiplies unsigned bytes with signed ones, so that A's integers are
// kept 128 higher; what that adds to a column's sums is the same for all rows, and subtracted at
// the end:
//
//   c(i, j) = (sum_k (qa(i, k) + 128) qb(k, j) - 128 sum_k qb(k, j)) * scale_a(i) * scale_b(j)
//
// So a quantized operand has a trailer behind its values, in depth, of two elements or of as many as
// a tile register has:
//
//   row of A:     [ q0 q1 q2 q3 | q4 ... | scale_a | 0         ]
//   column of B:  [ q0 q1 q2 q3 | q4 ... | scale_b | 128 * sum ]
//
// A row or column with a NaN has the scale NaN, and so have all its products.
#pragma once

#ifdef SEQ2SEQ_QUADS

#include "gemm.h"
#include "simd_math.h"

namespace seq2seq {

struct Int8Quads : Float32 {
  using Tiles = NarrowTiles;
  static constexpr int kTrailer = std::max(2, Tiles::kDepthUnit);
  static constexpr int kMaxInteger = 127;
  static constexpr uint32_t kOffsetOfA = 128;

  // The number of elements of `depth` values, trailer included. A quantized operand is packed as if
  // each element were a value.
  static int64_t packed_depth(int64_t depth) { return trailer_begin(depth) + kTrailer; }
  // How deep products can be: the trailer has to be in the same depth block.
  static constexpr int64_t kMaxDepth = 4 * (kDepthBlock - kTrailer);
  static bool supports(int64_t depth) { return depth <= kMaxDepth; }

  // In assembly, since GCC keeps sums in memory if it sees vectors of integers and of floats in
  // turn.
  static SimdFloat multiply_add(SimdFloat a, SimdFloat b, SimdFloat sum) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }

  // Turns sums of integers into floats, with the scale of A's row and the trailer of B's columns.
  static SimdFloat dequantize(SimdFloat sum, float scale_a, const float* trailer_b) {
    const SimdUint exact = reinterpret_cast<SimdUint>(sum) -
                           reinterpret_cast<SimdUint>(load(trailer_b + kTileColumns));
    return reinterpret_cast<SimdFloat>(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(exact))) *
           (scale_a * load(trailer_b));
  }

  // Quantizes A, `rows` rows of `depth` values, into `elements`.
  template <typename T>
  static Operand<float> quantize_a(ThreadPool& pool, const T* values, int64_t rows, int64_t depth,
                                   const Buffer& elements) {
    return quantize_vectors<true>(pool, values, rows, depth, elements);
  }

  // Quantizes B into `elements`, transposed or not as it is in memory.
  static Operand<float> quantize_b(ThreadPool& pool, const Operand<float>& b, int64_t depth,
                                   int64_t columns, const Buffer& elements) {
    const float* values = b.matrix.data;
    if (b.transposed) {
      Operand<float> quantized = quantize_vectors<false>(pool, values, columns, depth, elements);
      quantized.transposed = true;
      return quantized;
    }
    const Partition parts(columns, kColumnsPerTask);
    pool.parallel_for(parts.count, [&](int64_t p) {
      const int64_t begin = parts.begin(p);
      quantize_columns(values + begin, columns, depth, parts.length(p), elements.data() + begin);
    });
    return {{elements.data(), columns}};
  }

 private:
  static constexpr int kVectorsPerTask = 16, kColumnsPerTask = 128;

  static int64_t trailer_begin(int64_t depth) {
    return round_up((depth + 3) / 4, Tiles::kDepthUnit);
  }

  template <bool is_a, typename T>
  static Operand<float> quantize_vectors(ThreadPool& pool, const T* values, int64_t count,
                                         int64_t depth, const Buffer& elements) {
    const int64_t width = packed_depth(depth);
    const Partition parts(count, kVectorsPerTask);
    pool.parallel_for(parts.count, [&](int64_t p) {
      for (int64_t i = parts.begin(p); i < parts.begin(p + 1); ++i) {
        quantize_vector<is_a>(values + i * depth, depth, elements.data() + i * width);
      }
    });
    return {{elements.data(), width}};
  }

  // Quantizes a row of A, or a column of a transposed B.
  template <bool is_a, typename T>
  static void quantize_vector(const T* vector, int64_t depth, float* elements) {
    const auto load_at = [&](int64_t k) {
      return load(vector + k, static_cast<int>(std::min<int64_t>(kLanes, depth - k)));
    };
    SimdFloat peaks{};
    for (int64_t k = 0; k < depth; k += kLanes) peaks = max_magnitude(peaks, magnitude(load_at(k)));
    for (int i = 1; i < kLanes; ++i) peaks = max_magnitude(peaks, broadcast(peaks[i]));
    const float peak = peaks[0];
    const float scale = peak / kMaxInteger, inverse = peak > 0 ? kMaxInteger / peak : 0;
    auto* bytes = reinterpret_cast<int8_t*>(elements);
    SimdUint sums{};
    for (int64_t k = 0; k < depth; k += kLanes) {
      const SimdUint values = round_to_integers(load_at(k) * inverse) + (is_a ? kOffsetOfA : 0u);
      if (!is_a) sums += values;
      const int64_t in_quads = std::min<int64_t>(kLanes, (depth - k + 3) / 4 * 4);
      _mm512_mask_cvtepi32_storeu_epi8(bytes + k, static_cast<__mmask16>((1u << in_quads) - 1),
                                       reinterpret_cast<__m512i>(values));
    }
    uint32_t total = 0;
    for (int i = 0; i < kLanes; ++i) total += sums[i];
    const int64_t quads = (depth + 3) / 4;
    std::fill(elements + quads, elements + trailer_begin(depth), 0.f);
    store_trailer(elements + trailer_begin(depth), 1, broadcast(scale),
                  SimdUint{} + kOffsetOfA * total, 1);
  }

  // Quantizes at most kColumnsPerTask columns of B, whose rows, like those of the elements, are
  // `stride` apart.
  static void quantize_columns(const float* first, int64_t stride, int64_t depth, int64_t columns,
                               float* elements) {
    constexpr int kVectors = kColumnsPerTask / kLanes;
    SimdFloat peaks[kVectors] = {}, inverse[kVectors];
    SimdUint sums[kVectors] = {};
    // Calls `body` with the number, the first column and the size of each vector.
    const auto for_each = [&](const auto& body) {
      for (int v = 0; v * kLanes < columns; ++v) {
        body(v, v * kLanes, std::min<int64_t>(kLanes, columns - v * kLanes));
      }
    };
    for (int64_t k = 0; k < depth; ++k) {
      for_each([&](int v, int column, int count) {
        const SimdFloat values = load(first + k * stride + column, count);
        peaks[v] = max_magnitude(peaks[v], magnitude(values));
      });
    }
    for_each([&](int v, int, int) {
      inverse[v] = select(peaks[v] > 0.f, kMaxInteger / peaks[v], SimdFloat{});
    });
    for (int64_t k = 0; k < depth; k += 4, elements += stride) {
      for_each([&](int v, int column, int count) {
        SimdUint quad{};
        for (int i = 0; i < std::min<int64_t>(4, depth - k); ++i) {
          const SimdUint values =
              round_to_integers(load(first + (k + i) * stride + column, count) * inverse[v]);
          sums[v] += values;
          quad |= (values & 0xff) << (8 * i);
        }
        store(elements + column, reinterpret_cast<SimdFloat>(quad), count);
      });
    }
    for (int64_t k = (depth + 3) / 4; k < trailer_begin(depth); ++k, elements += stride) {
      for_each([&](int, int column, int count) { store(elements + column, SimdFloat{}, count); });
    }
    for_each([&](int v, int column, int count) {
      store_trailer(elements + column, stride, peaks[v] / kMaxInteger, kOffsetOfA * sums[v], count);
    });
  }

  // The larger one of two values without a sign; NaN is larger than all others.
  static SimdFloat max_magnitude(SimdFloat a, SimdFloat b) {
    return select(reinterpret_cast<SimdInt>(a) > reinterpret_cast<SimdInt>(b), a, b);
  }
  static SimdFloat magnitude(SimdFloat x) {
    return reinterpret_cast<SimdFloat>(reinterpret_cast<SimdInt>(x) & 0x7fffffff);
  }
  // Unsigned, so that sums may wrap around: NaN becomes an integer, too.
  static SimdUint round_to_integers(SimdFloat x) {
    return reinterpret_cast<SimdUint>(_mm512_cvtps_epi32(reinterpret_cast<__m512>(x)));
  }
  static void store_trailer(float* elements, int64_t stride, SimdFloat scale, SimdUint offset,
                            int count) {
    store(elements, scale, count);
    store(elements + stride, reinterpret_cast<SimdFloat>(offset), count);
  }
};

template <>
const MicrokernelsByRows Compiled<Int8Quads>::kMicrokernels;

}  // namespace seq2seq
#endif
