// A recurrent layer over a whole batch, forward and backward (cells.h has the equations of a step).
//
//   forward                                        backward
//     gates = x W, all steps in one product          for steps n, from the last one
//     pack U, blocks of 32 units, all gates            in parallel, for blocks of units
//     for steps n                                        d_h += d_recurrent(n + 1) U^T
//       pack h of step n - 1                             Cell::backward
//       in parallel, for blocks of units             d_W = x^T d_gates, d_U = h'^T d_recurrent and
//         products = h' U, the block's gates         d_x = d_gates W^T, all steps in one product
//         Cell::forward
//
// A panel of U holds the columns of one gate for a block of units; a block's panels lie side by
// side:
//
//   | gate 0, units 0-31 | gate 1, units 0-31 | ... | gate 0, units 32-63 | gate 1, units 32-63 |
//
// A thread computes the same blocks at every step, so that its panels stay in its cache. Masked
// steps are left out of all products: a step's products have a row for each sequence that is valid
// at it.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "cells.h"
#include "gemm.h"

namespace seq2seq {

struct LayerShape {
  int64_t batch, time, features, units;
  bool backwards;    // whether the loop runs over the input from its end
  const bool* mask;  // (batch, time), true for valid steps; null if all are

  int64_t position(int64_t b, int64_t n) const { return b * time + n; }
  // Where the n-th step of the loop is in the input.
  int64_t input_position(int64_t b, int64_t n) const {
    return position(b, backwards ? time - 1 - n : n);
  }
  bool valid(int64_t b, int64_t n) const { return !mask || mask[input_position(b, n)]; }
  // The same for `count` rows of the batch.
  LayerShape batch_slice(int64_t begin, int64_t count) const {
    return {count, time, features, units, backwards, mask ? mask + position(begin, 0) : nullptr};
  }
};

// What the forward pass computes and the backward pass needs. Sequences are (batch, time, units),
// or (batch, time, gates * units), in the order of the loop.
struct Activations {
  const float *initial_h, *initial_second;  // (batch, units)
  float *h, *second, *gates;
  int64_t h_stride;                   // the last axis of h, of which this layer has a part
  bool h_in_input_order = false;      // instead of the loop's
  BFloat16* h_as_bfloat16 = nullptr;  // a copy of h, or null

  // Where h of a step starts, and its gradient.
  int64_t h_offset(const LayerShape& s, int64_t b, int64_t n) const {
    return (h_in_input_order ? s.input_position(b, n) : s.position(b, n)) * h_stride;
  }
  const float* previous_h(const LayerShape& s, int64_t b, int64_t n) const {
    return n ? h + h_offset(s, b, n - 1) : initial_h + b * s.units;
  }
  const float* previous_second(const LayerShape& s, int64_t b, int64_t n) const {
    return n ? second + s.position(b, n - 1) * s.units : initial_second + b * s.units;
  }
  // The same for the rows of the batch from `begin` on.
  Activations batch_slice(const LayerShape& s, int64_t begin, int gates_of_cell) const {
    const int64_t step = s.position(begin, 0), row = begin * s.units;
    return {initial_h + row,
            initial_second + row,
            h + step * h_stride,
            second + step * s.units,
            gates + step * gates_of_cell * s.units,
            h_stride,
            h_in_input_order,
            h_as_bfloat16 ? h_as_bfloat16 + step * h_stride : nullptr};
  }
  // Copies some units of h of a step to bfloat16.
  void convert_h(const LayerShape& s, int64_t b, int64_t n, int64_t unit, int64_t units) const {
    if (!h_as_bfloat16) return;
    const int64_t at = h_offset(s, b, n) + unit;
    for_each_vector(units, [&](int64_t u, int count) {
      store(h_as_bfloat16 + at + u, load(h + at + u, count), count);
    });
  }
};

// The rows of all valid steps, as offsets into the arrays that products read and write.
struct ValidSteps {
  std::vector<int64_t> input, gates, previous_h;

  ValidSteps(const LayerShape& s, const Activations& activations, int gates_of_cell) {
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t n = 0; n < s.time; ++n) {
        if (!s.valid(b, n)) continue;
        input.push_back(s.input_position(b, n) * s.features);
        gates.push_back(s.position(b, n) * gates_of_cell * s.units);
        previous_h.push_back(activations.previous_h(s, b, n) - activations.h);
      }
    }
  }
  int64_t count() const { return static_cast<int64_t>(input.size()); }
};

// Lists the rows of the batch that are valid at a step.
inline void find_valid_rows(const LayerShape& s, int64_t n, std::vector<int64_t>& rows) {
  rows.clear();
  for (int64_t b = 0; b < s.batch; ++b) {
    if (s.valid(b, n)) rows.push_back(b);
  }
}

// Copies the states of the step before to rows that are masked at a step.
inline void copy_masked_states(const LayerShape& s, int64_t n, const Activations& activations) {
  const int64_t bytes = s.units * sizeof(float);
  for (int64_t b = 0; b < s.batch; ++b) {
    if (s.valid(b, n)) continue;
    std::memcpy(activations.h + activations.h_offset(s, b, n), activations.previous_h(s, b, n),
                bytes);
    std::memcpy(activations.second + s.position(b, n) * s.units,
                activations.previous_second(s, b, n), bytes);
    activations.convert_h(s, b, n, 0, s.units);
  }
}

// Copies the states after the last step, (batch, units) each.
inline void copy_last_states(const LayerShape& s, const Activations& activations, float* h,
                             float* second) {
  const int64_t bytes = s.units * sizeof(float);
  for (int64_t b = 0; b < s.batch; ++b) {
    std::memcpy(h + b * s.units, activations.previous_h(s, b, s.time), bytes);
    std::memcpy(second + b * s.units, activations.previous_second(s, b, s.time), bytes);
  }
}

// Blocks of units, each as wide as a tile.
struct UnitBlocks {
  int64_t units, count;
  explicit UnitBlocks(int64_t units)
      : units(units), count((units + kTileColumns - 1) / kTileColumns) {}
  int64_t begin(int64_t block) const { return block * kTileColumns; }
  int width(int64_t block) const {
    return static_cast<int>(std::min<int64_t>(kTileColumns, units - begin(block)));
  }

  // The panels of a matrix with a column for each unit of each gate.
  std::vector<PanelColumns> panels(int gates) const {
    std::vector<PanelColumns> panels;
    for (int64_t block = 0; block < count; ++block) {
      for (int g = 0; g < gates; ++g) panels.push_back({g * units + begin(block), width(block)});
    }
    return panels;
  }

  // Calls `body` with every block, each thread with the same ones at every step, in alternating
  // order: the blocks that a step used last are in the cache when the next one begins.
  template <typename Body>
  void parallel_for(ThreadPool& pool, int64_t step, const Body& body) const {
    const Partition parts(count, std::max<int64_t>(1, (count + pool.count() - 1) / pool.count()));
    pool.parallel_for(parts.count, [&](int64_t part) {
      const int64_t first = parts.begin(part), length = parts.length(part);
      for (int64_t i = 0; i < length; ++i) body(first + (step % 2 ? length - 1 - i : i));
    });
  }
};

struct LayerWeights {
  const float *kernel, *recurrent;
  float *bias, *recurrent_bias;  // may be null
};

template <typename Cell, typename T>
void run_forward(ThreadPool& pool, const LayerShape& s, const T* x, const LayerWeights& weights,
                 const Activations& activations) {
  using Element = PackedElement<T>;
  const int64_t width = Cell::kGates * s.units;
  const ValidSteps valid(s, activations, Cell::kGates);
  gemm<Element>(pool, Operand<T>{{x, s.features, valid.input.data()}},
                Operand<float>{{weights.kernel, width}},
                {activations.gates, width, valid.gates.data()}, valid.count(), s.features, width);
  const UnitBlocks blocks(s.units);
  const Buffer memory(PackedB<Element>::size(s.units, blocks.count * Cell::kGates));
  PackedB<Element> recurrent(s.units, blocks.panels(Cell::kGates), memory.data());
  recurrent.pack(pool, Operand<float>{{weights.recurrent, width}});
  PackedA<Element> previous_h(s.batch, s.units);
  std::vector<int64_t> rows, offsets;
  for (int64_t n = 0; n < s.time; ++n) {
    find_valid_rows(s, n, rows);
    offsets.clear();
    for (const int64_t b : rows) offsets.push_back(activations.previous_h(s, b, n) - activations.h);
    previous_h.pack(pool, Operand<float>{{activations.h, 0, offsets.data()}}, 0, rows.size());
    blocks.parallel_for(pool, n, [&](int64_t block) {
      constexpr int64_t kStride = Cell::kGates * kTileColumns;
      thread_local std::vector<float> products;
      products.resize(s.batch * kStride);
      for (int g = 0; g < Cell::kGates; ++g) {
        recurrent.multiply(previous_h, block * Cell::kGates + g, {products.data(), kStride},
                           g * kTileColumns, {});
      }
      const int64_t u = blocks.begin(block);
      const auto units = [&](float* of_gates) {
        return Gates{of_gates ? of_gates + u : of_gates, s.units};
      };
      for (size_t i = 0; i < rows.size(); ++i) {
        const int64_t b = rows[i], at = s.position(b, n);
        Cell::forward(blocks.width(block), units(activations.gates + at * width),
                      {products.data() + i * kStride, kTileColumns}, units(weights.bias),
                      units(weights.recurrent_bias), activations.previous_h(s, b, n) + u,
                      activations.previous_second(s, b, n) + u,
                      activations.h + activations.h_offset(s, b, n) + u,
                      activations.second + at * s.units + u);
        activations.convert_h(s, b, n, u, blocks.width(block));
      }
    });
    if (rows.size() < static_cast<size_t>(s.batch)) copy_masked_states(s, n, activations);
  }
}

// The gradients that the backward pass reads and writes.
template <typename T>
struct StateGradients {
  const T* sequence;         // of h, laid out as h; may be null
  float *h, *second;         // (batch, units): of the last states, replaced by the initial ones'
  float *gates, *recurrent;  // (batch, time, gates * units): of x W and of h' U; one array for LSTM
};

// Runs Cell::backward for a block of units of all rows at a step.
template <typename Cell, typename T>
void backward_block(const LayerShape& s, const Activations& activations, const StateGradients<T>& d,
                    int64_t n, int64_t u, int block_width) {
  const int64_t width = Cell::kGates * s.units;
  for (int64_t b = 0; b < s.batch; ++b) {
    float* d_h = d.h + b * s.units + u;
    const int64_t at = s.position(b, n);
    if (d.sequence) {
      const T* d_output = d.sequence + activations.h_offset(s, b, n) + u;
      for_each_vector(block_width, [&](int64_t i, int count) {
        store(d_h + i, load(d_h + i, count) + load(d_output + i, count), count);
      });
    }
    if (!s.valid(b, n)) continue;
    const auto units = [&](float* of_gates) { return Gates{of_gates + at * width + u, s.units}; };
    Cell::backward(block_width, units(activations.gates), activations.second + at * s.units + u,
                   activations.previous_h(s, b, n) + u, activations.previous_second(s, b, n) + u,
                   d_h, d.second + b * s.units + u, units(d.gates), units(d.recurrent));
  }
}

template <typename Cell, typename T>
void run_backward(ThreadPool& pool, const LayerShape& s, const float* recurrent,
                  const Activations& activations, const StateGradients<T>& d) {
  using Element = PackedElement<T>;
  const int64_t width = Cell::kGates * s.units;
  const UnitBlocks blocks(s.units);
  const Buffer memory(PackedB<Element>::size(width, blocks.count));
  PackedB<Element> transposed(width, blocks.panels(1), memory.data());
  transposed.pack(pool, Operand<float>{{recurrent, width}, true});
  const auto run_block = [&](int64_t block, int64_t n) {
    backward_block<Cell>(s, activations, d, n, blocks.begin(block), blocks.width(block));
  };
  PackedA<Element> d_recurrent(s.batch, width);
  std::vector<int64_t> rows, from, to;
  if (s.time > 0) {
    blocks.parallel_for(pool, 0, [&](int64_t block) { run_block(block, s.time - 1); });
  }
  for (int64_t n = s.time - 1; n >= 0; --n) {
    find_valid_rows(s, n, rows);
    from.clear();
    to.clear();
    for (const int64_t b : rows) {
      from.push_back(s.position(b, n) * width);
      to.push_back(b * s.units);
    }
    d_recurrent.pack(pool, Operand<float>{{d.recurrent, 0, from.data()}}, 0, rows.size());
    blocks.parallel_for(pool, n, [&](int64_t block) {
      transposed.multiply(d_recurrent, block, {d.h, 0, to.data()}, blocks.begin(block),
                          Epilogue{Cell::kSeparateRecurrentGradient});
      if (n > 0) run_block(block, n - 1);
    });
  }
}

struct WeightGradients {
  float *kernel, *recurrent, *bias, *recurrent_bias;
};

// Computes the gradients of weights, from those of x W (d_gates) and of h' U (d_products).
template <typename Cell, typename T>
void weight_gradients(ThreadPool& pool, const LayerShape& s, const T* x,
                      const Activations& activations, const float* d_gates, const float* d_products,
                      const WeightGradients& gradients) {
  using Element = PackedElement<T>;
  const int64_t width = Cell::kGates * s.units;
  const ValidSteps valid(s, activations, Cell::kGates);
  const MatrixView<const float> d_inputs{d_gates, width, valid.gates.data()};
  const MatrixView<const float> d_recurrent{d_products, width, valid.gates.data()};
  const Operand<float> previous_h{{activations.h, s.units, valid.previous_h.data()}, true};
  const Operand<T> inputs{{x, s.features, valid.input.data()}, true};
  const GemmTask<T> of_kernel{inputs, {gradients.kernel, width}, 0, s.features};
  const GemmTask<float> of_recurrent{previous_h, {gradients.recurrent, width}, 0, s.units};
  if (valid.count() == 0) {
    std::memset(gradients.kernel, 0, s.features * width * sizeof(float));
    std::memset(gradients.recurrent, 0, s.units * width * sizeof(float));
  } else if (Cell::kSeparateRecurrentGradient) {
    gemm_shared_b<Element>(pool, Operand<float>{d_inputs}, valid.count(), width, of_kernel);
    gemm_shared_b<Element>(pool, Operand<float>{d_recurrent}, valid.count(), width, of_recurrent);
  } else {
    gemm_shared_b<Element>(pool, Operand<float>{d_inputs}, valid.count(), width, of_kernel,
                           of_recurrent);
  }
  sum_rows(pool, d_inputs, valid.count(), width, gradients.bias);
  if (Cell::kSeparateRecurrentGradient) {
    sum_rows(pool, d_recurrent, valid.count(), width, gradients.recurrent_bias);
  }
}

// Computes the gradient of the input, d_x (batch, time, features), or adds it to d_x.
template <typename Cell, typename T>
void input_gradient(ThreadPool& pool, const LayerShape& s, const float* kernel,
                    const Activations& activations, const float* d_gates, float* d_x,
                    bool accumulate = false) {
  const int64_t width = Cell::kGates * s.units;
  const ValidSteps valid(s, activations, Cell::kGates);
  if (!accumulate && valid.count() < s.batch * s.time) {
    std::memset(d_x, 0, s.batch * s.time * s.features * sizeof(float));
  }
  gemm<PackedElement<T>>(pool, Operand<float>{{d_gates, width, valid.gates.data()}},
                         Operand<float>{{kernel, width}, true},
                         {d_x, s.features, valid.input.data()}, valid.count(), width, s.features,
                         Epilogue{accumulate});
}

}  // namespace seq2seq
