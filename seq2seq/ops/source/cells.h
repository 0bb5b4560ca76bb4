// The maths of one step of some units of one row, in an LSTM and in a GRU, forward and back.
#pragma once

#include <algorithm>

#include "vector.h"

namespace seq2seq {

// Gate after gate, `stride` elements apart.
struct Gates {
  float* data;
  int64_t stride;
  float* operator[](int gate) const { return data + gate * stride; }
};

// States h and c; gates i, f, g, o. The second sequence is c.
struct Lstm {
  static constexpr int kGates = 4;
  static constexpr bool kTwoInputs = false;  // both products have one gradient

  // Turns the input's part of the gates into the gates, and makes h and c.
  static void forward(int64_t units, Gates gates, Gates product, Gates bias, Gates, const float*,
                      const float* c_before, float* h, float* c) {
    each_vector(units, [&](int64_t u, int n) {
      const auto sum = [&](int g) {
        const Vector both = load(gates[g] + u, n) + load(product[g] + u, n);
        return bias.data ? both + load(bias[g] + u, n) : both;
      };
      const Vector input = sigmoid(sum(0)), forget = sigmoid(sum(1)), candidate = tanh(sum(2)),
                   output = sigmoid(sum(3));
      const Vector cell = forget * load(c_before + u, n) + input * candidate;
      store(gates[0] + u, input, n);
      store(gates[1] + u, forget, n);
      store(gates[2] + u, candidate, n);
      store(gates[3] + u, output, n);
      store(c + u, cell, n);
      store(h + u, output * tanh(cell), n);
    });
  }

  // Makes the gradient of what the gates were made of; d_c becomes that of c before the step.
  static void backward(int64_t units, Gates gates, const float* c, const float*,
                       const float* c_before, const float* d_h, float* d_c, Gates d_gates, Gates) {
    each_vector(units, [&](int64_t u, int n) {
      const Vector input = load(gates[0] + u, n), forget = load(gates[1] + u, n),
                   candidate = load(gates[2] + u, n), output = load(gates[3] + u, n),
                   activated = tanh(load(c + u, n)), dh = load(d_h + u, n);
      const Vector dc = load(d_c + u, n) + dh * output * (1.f - activated * activated);
      const Vector before = load(c_before + u, n);
      store(d_gates[0] + u, dc * candidate * input * (1.f - input), n);
      store(d_gates[1] + u, dc * before * forget * (1.f - forget), n);
      store(d_gates[2] + u, dc * input * (1.f - candidate * candidate), n);
      store(d_gates[3] + u, dh * activated * output * (1.f - output), n);
      store(d_c + u, dc * forget, n);
    });
  }
};

// State h; gates z, r and the candidate, reset after the product. The second sequence is the
// candidate's recurrent part, before it is reset.
struct Gru {
  static constexpr int kGates = 3;
  static constexpr bool kTwoInputs = true;

  static void forward(int64_t units, Gates gates, Gates product, Gates bias, Gates recurrent_bias,
                      const float* h_before, const float*, float* h, float* inner) {
    each_vector(units, [&](int64_t u, int n) {
      const auto part = [&](Gates from, Gates with, int g) {
        const Vector value = load(from[g] + u, n);
        return with.data ? value + load(with[g] + u, n) : value;
      };
      const auto x = [&](int g) { return part(gates, bias, g); };
      const auto recurrent = [&](int g) { return part(product, recurrent_bias, g); };
      const Vector update = sigmoid(x(0) + recurrent(0)), reset = sigmoid(x(1) + recurrent(1));
      const Vector unreset = recurrent(2), candidate = tanh(x(2) + reset * unreset);
      store(gates[0] + u, update, n);
      store(gates[1] + u, reset, n);
      store(gates[2] + u, candidate, n);
      store(inner + u, unreset, n);
      store(h + u, candidate + update * (load(h_before + u, n) - candidate), n);
    });
  }

  // Makes the gradients of the input's part and of the recurrent part; d_h becomes that share of
  // the gradient of h before the step that does not go through the product.
  static void backward(int64_t units, Gates gates, const float* inner, const float* h_before,
                       const float*, float* d_h, float*, Gates d_gates, Gates d_product) {
    each_vector(units, [&](int64_t u, int n) {
      const Vector update = load(gates[0] + u, n), reset = load(gates[1] + u, n),
                   candidate = load(gates[2] + u, n), dh = load(d_h + u, n);
      const Vector kept = dh * update;
      const Vector d_candidate = (dh - kept) * (1.f - candidate * candidate);
      const Vector d_update =
          dh * (load(h_before + u, n) - candidate) * update * (1.f - update);
      const Vector d_reset = d_candidate * load(inner + u, n) * reset * (1.f - reset);
      for (const Gates& to : {d_gates, d_product}) {
        store(to[0] + u, d_update, n);
        store(to[1] + u, d_reset, n);
      }
      store(d_gates[2] + u, d_candidate, n);
      store(d_product[2] + u, d_candidate * reset, n);
      store(d_h + u, kept, n);
    });
  }
};

}  // namespace seq2seq
