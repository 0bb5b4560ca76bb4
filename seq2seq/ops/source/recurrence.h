// A whole recurrent layer over a whole batch, forward and back.
//
// - The input is multiplied by its kernel for all steps at once.
// - At each step a thread computes some units of all rows: the weights it multiplies with are its
//   own, and stay in its cache from step to step.
// - A masked step costs nothing: only real steps are rows of a product.
// - Going back, the gradients of the pre-activations are collected; one product over all real steps
//   makes the gradient of a weight from them.
#pragma once

#include <vector>

#include "cells.h"
#include "product.h"

namespace seq2seq {

struct Shape {
  int64_t batch, time, features, units;
  bool backwards;
  const bool* mask;  // (batch, time), true where a step is real; null if all are

  int64_t position(int64_t b, int64_t n) const { return b * time + n; }
  // The n-th step of the loop is this step of the input.
  int64_t input_position(int64_t b, int64_t n) const {
    return position(b, backwards ? time - 1 - n : n);
  }
  bool real(int64_t b, int64_t n) const { return !mask || mask[input_position(b, n)]; }
  // The same for some of the rows.
  Shape rows(int64_t begin, int64_t count) const {
    return {count, time, features, units, backwards, mask ? mask + position(begin, 0) : nullptr};
  }
};

// What the forward pass leaves for the backward pass; the last axis is units (gates: all gates).
struct History {
  const float *h_before, *second_before;  // (batch, units)
  float *h, *second, *gates;              // (batch, time, ...), in the order of the loop
  int64_t h_width;                        // the last axis of h, of which this layer has some
  bool h_as_input = false;                // whether h is in the order of the input instead
  BFloat16* rounded_h = nullptr;          // as h; null if nobody wants it

  // Where h of a step starts, and its gradient.
  int64_t h_row(const Shape& s, int64_t b, int64_t n) const {
    return (h_as_input ? s.input_position(b, n) : s.position(b, n)) * h_width;
  }
  const float* h_ahead_of(const Shape& s, int64_t b, int64_t n) const {
    return n ? h + h_row(s, b, n - 1) : h_before + b * s.units;
  }
  // The same for the rows from `begin` on.
  History rows(const Shape& s, int64_t begin, int gates_of_cell) const {
    const int64_t step = s.position(begin, 0), row = begin * s.units;
    return {h_before + row,
            second_before + row,
            h + step * h_width,
            second + step * s.units,
            gates + step * gates_of_cell * s.units,
            h_width,
            h_as_input,
            rounded_h ? rounded_h + step * h_width : nullptr};
  }
  const float* second_ahead_of(const Shape& s, int64_t b, int64_t n) const {
    return n ? second + s.position(b, n - 1) * s.units : second_before + b * s.units;
  }
  // Rounds some units of h of a step.
  void round_h(const Shape& s, int64_t b, int64_t n, int64_t unit, int64_t count) const {
    if (!rounded_h) return;
    const int64_t at = h_row(s, b, n) + unit;
    each_vector(count, [&](int64_t u, int some) {
      store(rounded_h + at + u, load(h + at + u, some), some);
    });
  }
};

// Offsets of the rows of all real steps in the arrays that products go over.
struct RealSteps {
  std::vector<int64_t> input, gates, h_ahead;

  RealSteps(const Shape& s, const History& history, int kinds_of_gates) {
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t n = 0; n < s.time; ++n) {
        if (!s.real(b, n)) continue;
        input.push_back(s.input_position(b, n) * s.features);
        gates.push_back(s.position(b, n) * kinds_of_gates * s.units);
        h_ahead.push_back(history.h_ahead_of(s, b, n) - history.h);
      }
    }
  }
  int64_t count() const { return static_cast<int64_t>(input.size()); }
};

// Rows that are masked at a step keep their states.
inline void keep_masked(const Shape& s, int64_t n, const History& history) {
  const int64_t bytes = s.units * sizeof(float);
  for (int64_t b = 0; b < s.batch; ++b) {
    if (s.real(b, n)) continue;
    std::memcpy(history.h + history.h_row(s, b, n), history.h_ahead_of(s, b, n), bytes);
    std::memcpy(history.second + s.position(b, n) * s.units, history.second_ahead_of(s, b, n),
                bytes);
    history.round_h(s, b, n, 0, s.units);
  }
}

// Copies the states after the last step, `(batch, units)` each.
inline void last_states(const Shape& s, const History& history, float* h, float* second) {
  const int64_t bytes = s.units * sizeof(float);
  for (int64_t b = 0; b < s.batch; ++b) {
    std::memcpy(h + b * s.units, history.h_ahead_of(s, b, s.time), bytes);
    std::memcpy(second + b * s.units, history.second_ahead_of(s, b, s.time), bytes);
  }
}

// The rows that are real at a step.
inline void real_rows(const Shape& s, int64_t n, std::vector<int64_t>& rows) {
  rows.clear();
  for (int64_t b = 0; b < s.batch; ++b) {
    if (s.real(b, n)) rows.push_back(b);
  }
}

// Blocks of units, each a tile's columns wide.
struct UnitBlocks {
  int64_t units, count;
  explicit UnitBlocks(int64_t units)
      : units(units), count((units + kTileColumns - 1) / kTileColumns) {}
  int64_t begin(int64_t block) const { return block * kTileColumns; }
  int width(int64_t block) const {
    return static_cast<int>(std::min<int64_t>(kTileColumns, units - begin(block)));
  }

  // Panels of a matrix with a column for each unit of each gate: a block's gates side by side.
  std::vector<Columns> panels(int gates) const {
    std::vector<Columns> panels;
    for (int64_t block = 0; block < count; ++block) {
      for (int g = 0; g < gates; ++g) panels.push_back({g * units + begin(block), width(block)});
    }
    return panels;
  }

  // Calls `task` with every block, each thread with the same ones at every step, back and forth: so
  // what a step used last is in the cache when the next one begins.
  template <typename Task>
  void share(Threads& threads, int64_t step, const Task& task) const {
    const Pieces parts(count, std::max<int64_t>(1, (count + threads.count() - 1) / threads.count()));
    threads.run(parts.count, [&](int64_t part) {
      const int64_t first = parts.begin(part), length = parts.length(part);
      for (int64_t i = 0; i < length; ++i) task(first + (step % 2 ? length - 1 - i : i));
    });
  }
};

template <typename Cell, typename T>
void run_forward(Threads& threads, const Shape& s, const T* x, const float* kernel,
                 const float* recurrent, float* bias, float* recurrent_bias,
                 const History& history) {
  using Words = WordsOf<T>;
  const int64_t width = Cell::kGates * s.units;
  const RealSteps real(s, history, Cell::kGates);
  multiply<Words>(threads, Operand<T>{{x, s.features, real.input.data()}},
                  Operand<float>{{kernel, width}}, {history.gates, width, real.gates.data()},
                  real.count(), s.features, width);
  const UnitBlocks blocks(s.units);
  const Buffer memory(PackedMatrix<Words>::size(s.units, blocks.count * Cell::kGates));
  PackedMatrix<Words> weights(s.units, blocks.panels(Cell::kGates), memory.data());
  weights.pack(threads, Operand<float>{{recurrent, width}});
  PackedRows<Words> ahead(s.batch, s.units);
  std::vector<int64_t> rows, offsets;
  for (int64_t n = 0; n < s.time; ++n) {
    real_rows(s, n, rows);
    offsets.clear();
    for (int64_t b : rows) offsets.push_back(history.h_ahead_of(s, b, n) - history.h);
    ahead.pack(threads, Operand<float>{{history.h, 0, offsets.data()}}, 0, rows.size());
    blocks.share(threads, n, [&](int64_t block) {
      constexpr int64_t stride = Cell::kGates * kTileColumns;
      thread_local std::vector<float> products;
      products.resize(s.batch * stride);
      for (int g = 0; g < Cell::kGates; ++g) {
        weights.multiply(ahead, block * Cell::kGates + g, {products.data(), stride},
                         g * kTileColumns, {});
      }
      const int64_t u = blocks.begin(block);
      const auto part = [&](float* of) { return Gates{of ? of + u : of, s.units}; };
      for (size_t i = 0; i < rows.size(); ++i) {
        const int64_t b = rows[i], at = s.position(b, n);
        Cell::forward(blocks.width(block), part(history.gates + at * width),
                      {products.data() + i * stride, kTileColumns}, part(bias),
                      part(recurrent_bias), history.h_ahead_of(s, b, n) + u,
                      history.second_ahead_of(s, b, n) + u, history.h + history.h_row(s, b, n) + u,
                      history.second + at * s.units + u);
        history.round_h(s, b, n, u, blocks.width(block));
      }
    });
    if (rows.size() < static_cast<size_t>(s.batch)) keep_masked(s, n, history);
  }
}

// d_h and d_second hold the gradients of the last states, `(batch, units)`, and become those of the
// first. d_sequence, laid out as h, may be null.
template <typename Cell, typename T>
void run_backward(Threads& threads, const Shape& s, const float* recurrent, const History& history,
                  const T* d_sequence, float* d_h, float* d_second, float* d_gates,
                  float* d_products) {
  using Words = WordsOf<T>;
  const int64_t width = Cell::kGates * s.units;
  const UnitBlocks blocks(s.units);
  const Buffer memory(PackedMatrix<Words>::size(width, blocks.count));
  PackedMatrix<Words> weights(width, blocks.panels(1), memory.data());
  weights.pack(threads, Operand<float>{{recurrent, width}, true});
  const auto back_to_gates = [&](int64_t block, int64_t n) {
    const int64_t u = blocks.begin(block);
    for (int64_t b = 0; b < s.batch; ++b) {
      float* dh = d_h + b * s.units + u;
      const int64_t at = s.position(b, n);
      if (d_sequence) {
        const T* more = d_sequence + history.h_row(s, b, n) + u;
        each_vector(blocks.width(block), [&](int64_t i, int some) {
          store(dh + i, load(dh + i, some) + load(more + i, some), some);
        });
      }
      if (!s.real(b, n)) continue;
      const auto part = [&](float* of) { return Gates{of + at * width + u, s.units}; };
      Cell::backward(blocks.width(block), part(history.gates), history.second + at * s.units + u,
                     history.h_ahead_of(s, b, n) + u, history.second_ahead_of(s, b, n) + u, dh,
                     d_second + b * s.units + u, part(d_gates), part(d_products));
    }
  };

  PackedRows<Words> d_ahead(s.batch, width);
  std::vector<int64_t> rows, from, to;
  if (s.time > 0) {
    blocks.share(threads, 0, [&](int64_t block) { back_to_gates(block, s.time - 1); });
  }
  for (int64_t n = s.time - 1; n >= 0; --n) {
    real_rows(s, n, rows);
    from.clear();
    to.clear();
    for (int64_t b : rows) {
      from.push_back(s.position(b, n) * width);
      to.push_back(b * s.units);
    }
    d_ahead.pack(threads, Operand<float>{{d_products, 0, from.data()}}, 0, rows.size());
    blocks.share(threads, n, [&](int64_t block) {
      weights.multiply(d_ahead, block, {d_h, 0, to.data()}, blocks.begin(block),
                       Onto{Cell::kTwoInputs});
      if (n > 0) back_to_gates(block, n - 1);
    });
  }
}

struct WeightGradients {
  float *kernel, *recurrent, *bias, *recurrent_bias;
};

template <typename Cell, typename T>
void weight_gradients(Threads& threads, const Shape& s, const T* x, const History& history,
                      const float* d_gates, const float* d_products,
                      const WeightGradients& gradients) {
  using Words = WordsOf<T>;
  const int64_t width = Cell::kGates * s.units;
  const RealSteps real(s, history, Cell::kGates);
  const Matrix<const float> d_inputs{d_gates, width, real.gates.data()};
  const Matrix<const float> d_recurrent{d_products, width, real.gates.data()};
  const Operand<float> h_ahead{{history.h, s.units, real.h_ahead.data()}, true};

  const Operand<T> inputs{{x, s.features, real.input.data()}, true};
  const Left<T> of_kernel{inputs, {gradients.kernel, width}, 0, s.features};
  const Left<float> of_recurrent{h_ahead, {gradients.recurrent, width}, 0, s.units};
  if (real.count() == 0) {
    std::memset(gradients.kernel, 0, s.features * width * sizeof(float));
    std::memset(gradients.recurrent, 0, s.units * width * sizeof(float));
  } else if (Cell::kTwoInputs) {
    multiply_all<Words>(threads, Operand<float>{d_inputs}, real.count(), width, of_kernel);
    multiply_all<Words>(threads, Operand<float>{d_recurrent}, real.count(), width, of_recurrent);
  } else {
    multiply_all<Words>(threads, Operand<float>{d_inputs}, real.count(), width, of_kernel,
                        of_recurrent);
  }
  sum_rows(threads, d_inputs, real.count(), width, gradients.bias);
  if (Cell::kTwoInputs) {
    sum_rows(threads, d_recurrent, real.count(), width, gradients.recurrent_bias);
  }
}

// d_x, `(batch, time, features)`, becomes or gets the gradient of the input.
template <typename Cell, typename T>
void input_gradient(Threads& threads, const Shape& s, const float* kernel, const History& history,
                    const float* d_gates, float* d_x, bool add = false) {
  const int64_t width = Cell::kGates * s.units;
  const RealSteps real(s, history, Cell::kGates);
  if (!add && real.count() < s.batch * s.time) {
    std::memset(d_x, 0, s.batch * s.time * s.features * sizeof(float));
  }
  multiply<WordsOf<T>>(threads, Operand<float>{{d_gates, width, real.gates.data()}},
                       Operand<float>{{kernel, width}, true},
                       {d_x, s.features, real.input.data()}, real.count(), width, s.features,
                       Onto{add});
}

}  // namespace seq2seq
