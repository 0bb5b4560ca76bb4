// SIMD vectors of 32-bit lanes, as wide as the processor's registers: 16 lanes with AVX-512, 8 with
// AVX, else 4. Functions that take `count` work on the first `count` lanes and touch no memory
// behind them; load sets the other lanes to 0.
//
//   memory          load                     register             store
//   float32   [count]   ----->  SimdFloat {x0, x1, ..., 0, 0}   ----->  float32  [count]
//   bfloat16  [count]   widen                                   round   bfloat16 [count]
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace seq2seq {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// How many vectors the processor's registers hold.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

using SimdFloat = float __attribute__((vector_size(4 * kLanes)));
using SimdInt = int32_t __attribute__((vector_size(4 * kLanes)));
using SimdUint = uint32_t __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedSimdFloat __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

// bfloat16 as TensorFlow stores it: the upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

inline float to_float(float value) { return value; }
inline float to_float(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

#if defined(__AVX512F__)
inline SimdFloat broadcast(float value) {
  return reinterpret_cast<SimdFloat>(_mm512_set1_ps(value));
}
#else
inline SimdFloat broadcast(float value) { return value - SimdFloat{}; }
#endif

inline SimdFloat load(const float* from) {
  return *reinterpret_cast<const UnalignedSimdFloat*>(from);
}

inline SimdFloat load(const float* from, int count) {
  if (count == kLanes) return load(from);
#if defined(__AVX512F__)
  return reinterpret_cast<SimdFloat>(_mm512_maskz_loadu_ps((1u << count) - 1, from));
#else
  SimdFloat values{};
  std::memcpy(&values, from, count * sizeof(float));
  return values;
#endif
}

inline SimdFloat load(const BFloat16* from, int count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m256i bits = _mm256_maskz_loadu_epi16((1u << count) - 1, from);
  return reinterpret_cast<SimdFloat>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#else
  SimdFloat values{};
  for (int i = 0; i < count; ++i) values[i] = to_float(from[i]);
  return values;
#endif
}

inline void store(float* to, SimdFloat values) {
  *reinterpret_cast<UnalignedSimdFloat*>(to) = values;
}

inline void store(float* to, SimdFloat values, int count) {
  if (count == kLanes) return store(to, values);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (1u << count) - 1, reinterpret_cast<__m512>(values));
#else
  std::memcpy(to, &values, count * sizeof(float));
#endif
}

// Rounds each lane to the nearest bfloat16, ties to even; the result is in its lower half. NaN
// stays NaN.
inline SimdUint to_bfloat16_bits(SimdFloat values) {
  const SimdUint bits = reinterpret_cast<SimdUint>(values);
  const SimdUint is_nan = reinterpret_cast<SimdUint>(values != values);
  return ((bits + (~is_nan & (0x7fff + (bits >> 16 & 1)))) >> 16) | (is_nan & 0x40);
}

inline void store(BFloat16* to, SimdFloat values, int count) {
  const SimdUint bits = to_bfloat16_bits(values);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  _mm256_mask_storeu_epi16(to, (1u << count) - 1,
                           _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(bits)));
#else
  for (int i = 0; i < count; ++i) to[i].bits = static_cast<uint16_t>(bits[i]);
#endif
}

// Stores past the caches where the processor can (a non-temporal store), for large results that are
// not read again soon. Call `stream_fence` before another thread reads them.
inline void stream(float* to, SimdFloat values, int count) {
#if defined(__AVX512F__)
  if (count == kLanes && reinterpret_cast<uintptr_t>(to) % sizeof(SimdFloat) == 0) {
    return _mm512_stream_ps(to, reinterpret_cast<__m512>(values));
  }
#endif
  store(to, values, count);
}

inline void stream_fence() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// Calls `body(position, count)` for each vector of `size` elements; only the last may be partial.
template <typename Body>
inline void for_each_vector(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, kLanes);
  if (i < size) body(i, static_cast<int>(size - i));
}

// Returns the lanes of two vectors in an order; those of `b` have the numbers from kLanes on.
template <int... order>
inline SimdFloat shuffle(SimdFloat a, SimdFloat b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, order...);
#else
  return __builtin_shuffle(a, b, SimdInt{order...});  // GCC before 12 knows no other
#endif
}

// Swaps the off-diagonal blocks of `size` lanes of all pairs of rows.
template <int size, int... lanes>
inline void swap_blocks(SimdFloat (&rows)[kLanes], std::integer_sequence<int, lanes...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & size) continue;
    const SimdFloat upper = rows[i], lower = rows[i + size];
    rows[i] = shuffle<(lanes & size ? kLanes + lanes - size : lanes)...>(upper, lower);
    rows[i + size] = shuffle<(lanes & size ? kLanes + lanes : lanes + size)...>(upper, lower);
  }
}

// Transposes a square of kLanes x kLanes values.
inline void transpose(SimdFloat (&rows)[kLanes]) {
  constexpr auto kAllLanes = std::make_integer_sequence<int, kLanes>{};
  swap_blocks<1>(rows, kAllLanes);
  swap_blocks<2>(rows, kAllLanes);
  if constexpr (kLanes > 4) swap_blocks<4>(rows, kAllLanes);
  if constexpr (kLanes > 8) swap_blocks<8>(rows, kAllLanes);
}

}  // namespace seq2seq
