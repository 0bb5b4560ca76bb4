// Vectors of float32 as wide as the processor's registers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

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

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedVector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<UnalignedVector*>(to) = values; }
#if defined(__AVX512F__)
inline Vector broadcast(float value) { return reinterpret_cast<Vector>(_mm512_set1_ps(value)); }
#else
inline Vector broadcast(float value) { return value - Vector{}; }
#endif

// The first `count` lanes.
inline Vector load(const float* from, int count) {
  if (count == kLanes) return load(from);
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_maskz_loadu_ps((1u << count) - 1, from));
#else
  Vector values{};
  std::memcpy(&values, from, count * sizeof(float));
  return values;
#endif
}

inline void store(float* to, Vector values, int count) {
  if (count == kLanes) return store(to, values);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (1u << count) - 1, reinterpret_cast<__m512>(values));
#else
  std::memcpy(to, &values, count * sizeof(float));
#endif
}

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

inline Vector load(const BFloat16* from, int count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m256i bits = _mm256_maskz_loadu_epi16((1u << count) - 1, from);
  return reinterpret_cast<Vector>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#else
  Vector values{};
  for (int i = 0; i < count; ++i) values[i] = to_float(from[i]);
  return values;
#endif
}

// Each lane rounded to the nearest bfloat16, in its lower half.
inline Words rounded_bits(Vector values) {
  const Words bits = reinterpret_cast<Words>(values);
  const Words no_number = reinterpret_cast<Words>(values != values);
  return ((bits + (~no_number & (0x7fff + (bits >> 16 & 1)))) >> 16) | (no_number & 0x40);
}

inline void store(BFloat16* to, Vector values, int count) {
  const Words bits = rounded_bits(values);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  _mm256_mask_storeu_epi16(to, (1u << count) - 1,
                           _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(bits)));
#else
  for (int i = 0; i < count; ++i) to[i].bits = static_cast<uint16_t>(bits[i]);
#endif
}

// Stores values that nobody will want soon: past the caches, where that can be done.
inline void stream(float* to, Vector values, int count) {
#if defined(__AVX512F__)
  if (count == kLanes && reinterpret_cast<uintptr_t>(to) % sizeof(Vector) == 0) {
    return _mm512_stream_ps(to, reinterpret_cast<__m512>(values));
  }
#endif
  store(to, values, count);
}

// Has to be called after `stream`, before another thread reads.
inline void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

inline Vector root(Vector values) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_sqrt_ps(reinterpret_cast<__m512>(values)));
#else
  for (int i = 0; i < kLanes; ++i) values[i] = std::sqrt(values[i]);
  return values;
#endif
}

// Calls `body` with the position and the size of every vector of `size` elements.
template <typename Body>
inline void each_vector(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, kLanes);
  if (i < size) body(i, static_cast<int>(size - i));
}

inline float sum_of_lanes(Vector values) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(reinterpret_cast<__m512>(values));
#else
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += values[i];
  return sum;
#endif
}

inline float highest_lane(Vector values) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(reinterpret_cast<__m512>(values));
#else
  float highest = values[0];
  for (int i = 1; i < kLanes; ++i) highest = values[i] > highest ? values[i] : highest;
  return highest;
#endif
}

// exp, tanh and sigmoid to within 2 units in the last place: range reduction and polynomials of
// Cephes (Moshier, https://www.netlib.org/cephes).

inline Vector select(Integers condition, Vector yes, Vector no) {
  return reinterpret_cast<Vector>((condition & reinterpret_cast<Integers>(yes)) |
                                  (~condition & reinterpret_cast<Integers>(no)));
}

// Lane by lane `a > b ? a : b`.
inline Vector larger(Vector a, Vector b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(
      _mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return select(a > b, a, b);
#endif
}

// What is not a number stays so.
inline Vector limited(Vector x, float lowest, float highest) {
#if defined(__AVX512F__)
  const __m512 below = _mm512_max_ps(_mm512_set1_ps(lowest), reinterpret_cast<__m512>(x));
  return reinterpret_cast<Vector>(_mm512_min_ps(_mm512_set1_ps(highest), below));
#else
  x = select(x < lowest, broadcast(lowest), x);
  return select(x > highest, broadcast(highest), x);
#endif
}

inline Vector exp(Vector x) {
  x = limited(x, -87.3f, 88.3f);
  const Vector magic = broadcast(12582912.f);  // 1.5 * 2^23: what is added to it is rounded
  const Vector shifted = x * 1.44269504f + magic;
  const Vector n = shifted - magic;
  const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const Words power = (reinterpret_cast<Words>(shifted) << 23) + (127u << 23);
  return p * reinterpret_cast<Vector>(power);
}

inline Vector sigmoid(Vector x) { return 1.f / (1.f + exp(-x)); }

inline Vector tanh(Vector x) {
  const Vector squared = x * x;
  Vector p = squared * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * squared - 5.37397155531e-2f;
  p = p * squared + 1.33314422036e-1f;
  p = p * squared - 3.33332819422e-1f;
  p = p * squared * x + x;  // exact for small x, where the quotient below is not
  const Vector quotient = 1.f - 2.f / (exp(x + x) + 1.f);
  return select((x < 0.625f) & (x > -0.625f), p, quotient);
}

#if defined(__GNUC__) && !defined(__clang__)
#define SEQ2SEQ_TRANSPOSES

// Swaps the off-diagonal blocks of `size` lanes of all pairs of rows.
template <int size>
inline void swap_blocks(Vector (&rows)[kLanes]) {
  Integers low, high;
  for (int lane = 0; lane < kLanes; ++lane) {
    low[lane] = lane & size ? kLanes + lane - size : lane;
    high[lane] = lane & size ? kLanes + lane : lane + size;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & size) continue;
    const Vector upper = rows[i], lower = rows[i + size];
    rows[i] = __builtin_shuffle(upper, lower, low);
    rows[i + size] = __builtin_shuffle(upper, lower, high);
  }
}

// Turns rows into columns.
inline void transpose(Vector (&rows)[kLanes]) {
  swap_blocks<1>(rows);
  swap_blocks<2>(rows);
  if constexpr (kLanes > 4) swap_blocks<4>(rows);
  if constexpr (kLanes > 8) swap_blocks<8>(rows);
}
#endif

}  // namespace seq2seq
