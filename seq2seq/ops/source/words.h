// How the values of packed operands are kept: one float32 a word, or two bfloat16.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "vector.h"

namespace seq2seq {

// Some of the depth that two operands share, in values.
struct Layer {
  int64_t begin, depth;
};

// float32: a word is a value.
struct Singles {
  static constexpr int kValues = 1;
  static constexpr int kExtra = 0;  // words at the end of the depth that say what sums mean

  // The depth that packed operands have.
  static int64_t packed_depth(int64_t depth) { return depth; }

  // The words of so many values.
  static int64_t count(int64_t depth) { return depth; }
  // The values of the words from `begin` on, where there are `depth` values in all.
  static Layer layer(int64_t begin, int64_t words, int64_t) { return {begin, words}; }

  static Vector multiply_add(Vector left, Vector right, Vector sum) { return sum + left * right; }

  // The words of values that follow each other.
  template <typename T>
  static Vector along(const T* from) {
    return load(from, kLanes);
  }
  // The first one of them.
  template <typename T>
  static float one(const T* from, int64_t) {
    return to_float(*from);
  }
  // The words of values side by side; the next ones of the depth are not needed.
  template <typename T>
  static Vector across(const T* first, const T*, int count) {
    return load(first, count);
  }
};

#ifdef SEQ2SEQ_PAIRS
// bfloat16: a word is two values that follow each other in depth, multiplied and added at once.
struct Pairs {
  static constexpr int kValues = 2;
  static constexpr int kExtra = 0;

  static int64_t packed_depth(int64_t depth) { return depth; }

  static int64_t count(int64_t depth) { return (depth + 1) / 2; }
  static Layer layer(int64_t begin, int64_t words, int64_t depth) {
    return {2 * begin, std::min(2 * words, depth - 2 * begin)};
  }

  static Vector multiply_add(Vector left, Vector right, Vector sum) {
    return reinterpret_cast<Vector>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                     reinterpret_cast<__m512bh>(left),
                                                     reinterpret_cast<__m512bh>(right)));
  }

  static Vector along(const float* from) { return rounded(load(from), load(from + kLanes)); }
  static Vector along(const BFloat16* from) {
    return reinterpret_cast<Vector>(_mm512_loadu_si512(from));
  }
  // A word of a value, and of the one after it where there are two.
  template <typename T>
  static float one(const T* from, int64_t values) {
    const uint32_t high = values > 1 ? bits(from[1]) : 0, word = bits(from[0]) | high << 16;
    float result;
    std::memcpy(&result, &word, sizeof result);
    return result;
  }
  // The words of values side by side and of the next ones of the depth, null where there are none.
  static Vector across(const float* first, const float* second, int count) {
    return zipped(rounded(load(first, count), second ? load(second, count) : Vector{}));
  }
  static Vector across(const BFloat16* first, const BFloat16* second, int count) {
    const auto half = [&](const BFloat16* from) {
      return from ? _mm256_maskz_loadu_epi16((1u << count) - 1, from) : _mm256_setzero_si256();
    };
    return zipped(reinterpret_cast<Vector>(
        _mm512_inserti64x4(_mm512_castsi256_si512(half(first)), half(second), 1)));
  }

 private:
  // Two vectors of values as one of bfloat16, one after the other.
  static Vector rounded(Vector first, Vector second) {
    return reinterpret_cast<Vector>(
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first)));
  }
  // The halves of a vector, value by value in turn.
  static Vector zipped(Vector halves) {
    alignas(64) static constexpr uint16_t kTurns[32] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return reinterpret_cast<Vector>(_mm512_permutexvar_epi16(
        _mm512_load_si512(kTurns), reinterpret_cast<__m512i>(halves)));
  }
  static uint32_t bits(BFloat16 value) { return value.bits; }
  static uint32_t bits(float value) {
    const Vector values = rounded(broadcast(value), Vector{});
    uint16_t first;
    std::memcpy(&first, &values, sizeof first);
    return first;
  }
};

// What products of a type are made in.
template <typename T>
using WordsOf = std::conditional_t<std::is_same_v<T, BFloat16>, Pairs, Singles>;
#else
template <typename T>
using WordsOf = Singles;
#endif

}  // namespace seq2seq
