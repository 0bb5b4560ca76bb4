// How packed operands hold their values: in elements of 32 bits, which the microkernel multiplies
// and adds lane by lane. Element (k, i) of a packed tile or panel belongs to row or column i:
//
//   Float32        [ value k of i                  ]  sum += a * b
//   BFloat16Pairs  [ value 2k     | value 2k + 1   ]  sum += a0 * b0 + a1 * b1   (AVX-512 BF16, AMX)
//   Int8Quads      [ 4k  | 4k + 1 | 4k + 2 | 4k + 3]  int8_quads.h               (AVX-512 VNNI, AMX)
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "simd.h"

namespace seq2seq {

// A part of the depth (the dimension that A and B share), in values.
struct DepthRange {
  int64_t begin, depth;
};

// How operands are cut into tiles: rows of A at most, and the units of rows and of elements in depth
// that tiles are made of.
struct RegisterTiles {
  static constexpr int kRows = kRegisters == 32 ? 14 : 6;  // 28 or 12 accumulators
  static constexpr int kRowUnit = 1, kDepthUnit = 1;
};
#ifdef SEQ2SEQ_AMX
struct AmxTiles {  // amx.h
  static constexpr int kRows = 32;
  static constexpr int kRowUnit = 16, kDepthUnit = 16;
};
using NarrowTiles = AmxTiles;  // of elements that are narrower than float32
#else
using NarrowTiles = RegisterTiles;
#endif

// Rounds up to a multiple of `unit`.
constexpr int64_t round_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// One float32 an element.
struct Float32 {
  using Tiles = RegisterTiles;
  static constexpr int kValues = 1;   // of an element
  static constexpr int kTrailer = 0;  // elements behind the values, with scales for the result

  // The depth that a packed operand has, its trailer included.
  static int64_t packed_depth(int64_t depth) { return depth; }

  // The number of elements that hold `depth` values.
  static int64_t elements(int64_t depth) { return depth; }
  // The values in `count` elements from the element `begin` on, of `depth` values in all.
  static DepthRange depth_range(int64_t begin, int64_t count, int64_t /*depth*/) {
    return {begin, count};
  }

  static SimdFloat multiply_add(SimdFloat a, SimdFloat b, SimdFloat sum) { return sum + a * b; }

  // Loads elements of values that follow each other in depth.
  template <typename T>
  static SimdFloat load_along_depth(const T* from) {
    return load(from, kLanes);
  }
  // Loads the first one of them, where `values` are left.
  template <typename T>
  static float load_element(const T* from, int64_t /*values*/) {
    return to_float(*from);
  }
  // Loads an element for each of `count` columns, from the rows of B that belong to it.
  template <typename T>
  static SimdFloat load_across_depth(const T* first, const T* /*second*/, int count) {
    return load(first, count);
  }
};

#if defined(SEQ2SEQ_PAIRS) || defined(SEQ2SEQ_AMX)
// Two bfloat16 an element, which follow each other in depth (VNNI pairs).
struct BFloat16Pairs {
  using Tiles = NarrowTiles;
  static constexpr int kValues = 2;
  static constexpr int kTrailer = 0;

  static int64_t packed_depth(int64_t depth) { return depth; }

  static int64_t elements(int64_t depth) {
    return round_up((depth + 1) / kValues, Tiles::kDepthUnit);
  }
  static DepthRange depth_range(int64_t begin, int64_t count, int64_t depth) {
    return {2 * begin, std::min(2 * count, depth - 2 * begin)};
  }

  static SimdFloat multiply_add(SimdFloat a, SimdFloat b, SimdFloat sum) {
    return reinterpret_cast<SimdFloat>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                        reinterpret_cast<__m512bh>(a),
                                                        reinterpret_cast<__m512bh>(b)));
  }

  static SimdFloat load_along_depth(const float* from) {
    return to_bfloat16(load(from), load(from + kLanes));
  }
  static SimdFloat load_along_depth(const BFloat16* from) {
    return reinterpret_cast<SimdFloat>(_mm512_loadu_si512(from));
  }
  // Where only one value is left, the second one of the pair is 0.
  template <typename T>
  static float load_element(const T* from, int64_t values) {
    const uint32_t high = values > 1 ? bfloat16_bits(from[1]) : 0,
                   pair = bfloat16_bits(from[0]) | high << 16;
    float result;
    std::memcpy(&result, &pair, sizeof result);
    return result;
  }
  // `second` is null behind the last row of B.
  static SimdFloat load_across_depth(const float* first, const float* second, int count) {
    return interleave_halves(
        to_bfloat16(load(first, count), second ? load(second, count) : SimdFloat{}));
  }
  static SimdFloat load_across_depth(const BFloat16* first, const BFloat16* second, int count) {
    const auto half = [&](const BFloat16* from) {
      return from ? _mm256_maskz_loadu_epi16((1u << count) - 1, from) : _mm256_setzero_si256();
    };
    return interleave_halves(reinterpret_cast<SimdFloat>(
        _mm512_inserti64x4(_mm512_castsi256_si512(half(first)), half(second), 1)));
  }

 private:
  // Rounds two vectors to one of bfloat16: the first one's values, then the second one's.
  static SimdFloat to_bfloat16(SimdFloat first, SimdFloat second) {
    return reinterpret_cast<SimdFloat>(
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first)));
  }
  // Pairs up value i of a vector's lower half with value i of its upper half.
  static SimdFloat interleave_halves(SimdFloat halves) {
    alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                        21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                        11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return reinterpret_cast<SimdFloat>(
        _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), reinterpret_cast<__m512i>(halves)));
  }
  static uint32_t bfloat16_bits(BFloat16 value) { return value.bits; }
  static uint32_t bfloat16_bits(float value) {
    const SimdFloat values = to_bfloat16(broadcast(value), SimdFloat{});
    uint16_t first;
    std::memcpy(&first, &values, sizeof first);
    return first;
  }
};

// The elements in which products of matrices of type T are made.
template <typename T>
using PackedElement = std::conditional_t<std::is_same_v<T, BFloat16>, BFloat16Pairs, Float32>;
#else
template <typename T>
using PackedElement = Float32;
#endif

}  // namespace seq2seq
