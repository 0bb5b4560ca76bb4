// One step of a recurrent cell, forward and backward, for some units of one row.
//
// LSTM (Hochreiter & Schmidhuber, 1997), gates in Keras' order i, f, g, o:
//
//   a = x W + h' U + b                            h', c': the states before the step
//   i = sigmoid(a_i)  f = sigmoid(a_f)  g = tanh(a_g)  o = sigmoid(a_o)
//   c = f * c' + i * g
//   h = o * tanh(c)
//
// GRU (Cho et al., 2014; reset after the product, as in cuDNN and Keras), gates z, r, n:
//
//   z = sigmoid(x W_z + b_z + h' U_z + d_z)       b, d: input and recurrent bias
//   r = sigmoid(x W_r + b_r + h' U_r + d_r)
//   q = h' U_n + d_n
//   n = tanh(x W_n + b_n + r * q)
//   h = z * h' + (1 - z) * n
//
// Callers make the products with W and U; `gates` holds x W before a step and the gates after it.
// The "second" sequence, which the backward pass needs beside h, is c of an LSTM and q of a GRU.
#pragma once

#include <algorithm>

#include "simd_math.h"

namespace seq2seq {

// The values of some units for each gate, `stride` elements from gate to gate.
struct Gates {
  float* data;
  int64_t stride;
  float* operator[](int gate) const { return data + gate * stride; }
};

struct Lstm {
  static constexpr int kGates = 4;
  // Whether x W and h' U have different gradients.
  static constexpr bool kSeparateRecurrentGradient = false;

  static void forward(int64_t units, Gates gates, Gates recurrent, Gates bias, Gates /*unused*/,
                      const float* /*previous_h*/, const float* previous_c, float* h, float* c) {
    for_each_vector(units, [&](int64_t u, int n) {
      const auto sum = [&](int gate) {
        const SimdFloat both = load(gates[gate] + u, n) + load(recurrent[gate] + u, n);
        return bias.data ? both + load(bias[gate] + u, n) : both;
      };
      const SimdFloat input = sigmoid(sum(0)), forget = sigmoid(sum(1)), candidate = tanh(sum(2)),
                      output = sigmoid(sum(3));
      const SimdFloat cell = forget * load(previous_c + u, n) + input * candidate;
      store(gates[0] + u, input, n);
      store(gates[1] + u, forget, n);
      store(gates[2] + u, candidate, n);
      store(gates[3] + u, output, n);
      store(c + u, cell, n);
      store(h + u, output * tanh(cell), n);
    });
  }

  // Computes the gradient of a; d_c holds the gradient of c and becomes that of c'.
  static void backward(int64_t units, Gates gates, const float* c, const float* /*previous_h*/,
                       const float* previous_c, const float* d_h, float* d_c, Gates d_gates,
                       Gates /*d_recurrent*/) {
    for_each_vector(units, [&](int64_t u, int n) {
      const SimdFloat input = load(gates[0] + u, n), forget = load(gates[1] + u, n),
                      candidate = load(gates[2] + u, n), output = load(gates[3] + u, n),
                      activated = tanh(load(c + u, n)), dh = load(d_h + u, n);
      const SimdFloat dc = load(d_c + u, n) + dh * output * (1.f - activated * activated);
      const SimdFloat previous = load(previous_c + u, n);
      store(d_gates[0] + u, dc * candidate * input * (1.f - input), n);
      store(d_gates[1] + u, dc * previous * forget * (1.f - forget), n);
      store(d_gates[2] + u, dc * input * (1.f - candidate * candidate), n);
      store(d_gates[3] + u, dh * activated * output * (1.f - output), n);
      store(d_c + u, dc * forget, n);
    });
  }
};

struct Gru {
  static constexpr int kGates = 3;
  static constexpr bool kSeparateRecurrentGradient = true;

  static void forward(int64_t units, Gates gates, Gates recurrent, Gates bias, Gates recurrent_bias,
                      const float* previous_h, const float* /*unused*/, float* h, float* q) {
    for_each_vector(units, [&](int64_t u, int n) {
      const auto part = [&](Gates from, Gates with, int gate) {
        const SimdFloat value = load(from[gate] + u, n);
        return with.data ? value + load(with[gate] + u, n) : value;
      };
      const auto of_x = [&](int gate) { return part(gates, bias, gate); };
      const auto of_h = [&](int gate) { return part(recurrent, recurrent_bias, gate); };
      const SimdFloat update = sigmoid(of_x(0) + of_h(0)), reset = sigmoid(of_x(1) + of_h(1));
      const SimdFloat inner = of_h(2), candidate = tanh(of_x(2) + reset * inner);
      store(gates[0] + u, update, n);
      store(gates[1] + u, reset, n);
      store(gates[2] + u, candidate, n);
      store(q + u, inner, n);
      store(h + u, candidate + update * (load(previous_h + u, n) - candidate), n);
    });
  }

  // Computes the gradients of x W and of h' U; d_h holds the gradient of h and becomes that share
  // of the gradient of h' which does not go through U.
  static void backward(int64_t units, Gates gates, const float* q, const float* previous_h,
                       const float* /*unused*/, float* d_h, float* /*unused*/, Gates d_gates,
                       Gates d_recurrent) {
    for_each_vector(units, [&](int64_t u, int n) {
      const SimdFloat update = load(gates[0] + u, n), reset = load(gates[1] + u, n),
                      candidate = load(gates[2] + u, n), dh = load(d_h + u, n);
      const SimdFloat d_previous_h = dh * update;
      const SimdFloat d_candidate = (dh - d_previous_h) * (1.f - candidate * candidate);
      const SimdFloat d_update =
          dh * (load(previous_h + u, n) - candidate) * update * (1.f - update);
      const SimdFloat d_reset = d_candidate * load(q + u, n) * reset * (1.f - reset);
      for (const Gates& to : {d_gates, d_recurrent}) {
        store(to[0] + u, d_update, n);
        store(to[1] + u, d_reset, n);
      }
      store(d_gates[2] + u, d_candidate, n);
      store(d_recurrent[2] + u, d_candidate * reset, n);
      store(d_h + u, d_previous_h, n);
    });
  }
};

}  // namespace seq2seq
