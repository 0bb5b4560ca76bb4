// Functions of SIMD vectors: reductions over the lanes, and max, clamp, sqrt, exp, sigmoid and tanh
// of each lane. The last three are accurate to 2 units in the last place: range reduction and
// polynomials of Cephes (Moshier, https://www.netlib.org/cephes).
//
//   exp(x) = 2^n * p(r)    with n = round(x / ln 2), r = x - n * ln 2, p a polynomial of degree 7
//   sigmoid(x) = 1 / (1 + exp(-x))
//   tanh(x) = 1 - 2 / (exp(2 x) + 1), an odd polynomial where |x| < 0.625
#pragma once

#include <cmath>

#include "simd.h"

namespace seq2seq {

inline float reduce_sum(SimdFloat values) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(reinterpret_cast<__m512>(values));
#else
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += values[i];
  return sum;
#endif
}

inline float reduce_max(SimdFloat values) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(reinterpret_cast<__m512>(values));
#else
  float highest = values[0];
  for (int i = 1; i < kLanes; ++i) highest = values[i] > highest ? values[i] : highest;
  return highest;
#endif
}

// Lane by lane `condition ? yes : no`; a condition's lanes are all ones or all zeros.
inline SimdFloat select(SimdInt condition, SimdFloat yes, SimdFloat no) {
  return reinterpret_cast<SimdFloat>((condition & reinterpret_cast<SimdInt>(yes)) |
                                     (~condition & reinterpret_cast<SimdInt>(no)));
}

// Lane by lane `a > b ? a : b`.
inline SimdFloat max(SimdFloat a, SimdFloat b) {
#if defined(__AVX512F__)
  return reinterpret_cast<SimdFloat>(
      _mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return select(a > b, a, b);
#endif
}

// Limits each lane to [low, high]; NaN stays NaN.
inline SimdFloat clamp(SimdFloat x, float low, float high) {
#if defined(__AVX512F__)
  const __m512 not_below = _mm512_max_ps(_mm512_set1_ps(low), reinterpret_cast<__m512>(x));
  return reinterpret_cast<SimdFloat>(_mm512_min_ps(_mm512_set1_ps(high), not_below));
#else
  x = select(x < low, broadcast(low), x);
  return select(x > high, broadcast(high), x);
#endif
}

inline SimdFloat sqrt(SimdFloat values) {
#if defined(__AVX512F__)
  return reinterpret_cast<SimdFloat>(_mm512_sqrt_ps(reinterpret_cast<__m512>(values)));
#else
  for (int i = 0; i < kLanes; ++i) values[i] = std::sqrt(values[i]);
  return values;
#endif
}

inline SimdFloat exp(SimdFloat x) {
  x = clamp(x, -87.3f, 88.3f);
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits of the sum.
  const SimdFloat magic = broadcast(12582912.f);
  const SimdFloat shifted = x * 1.44269504f + magic;
  const SimdFloat n = shifted - magic;
  const SimdFloat r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  SimdFloat p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const SimdUint two_to_the_n = (reinterpret_cast<SimdUint>(shifted) << 23) + (127u << 23);
  return p * reinterpret_cast<SimdFloat>(two_to_the_n);
}

inline SimdFloat sigmoid(SimdFloat x) { return 1.f / (1.f + exp(-x)); }

inline SimdFloat tanh(SimdFloat x) {
  const SimdFloat squared = x * x;
  SimdFloat p = squared * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * squared - 5.37397155531e-2f;
  p = p * squared + 1.33314422036e-1f;
  p = p * squared - 3.33332819422e-1f;
  p = p * squared * x + x;  // exact for small x, where the quotient below is not
  const SimdFloat quotient = 1.f - 2.f / (exp(x + x) + 1.f);
  return select((x < 0.625f) & (x > -0.625f), p, quotient);
}

}  // namespace seq2seq
