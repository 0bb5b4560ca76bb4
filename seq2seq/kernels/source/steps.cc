// What a decoder does at each step of a search, on weights that stay the same from step to step.
//
// Seq2seqPack packs a matrix once for all steps. Where there are so few rows that packing would take
// longer than all products, it gives an empty tensor; or, of a matrix whose elements look like
// bfloat16, half of the memory and a last word that says whether they all were. Seq2seqPackedDense
// is x * matrix + bias; Seq2seqLstmStep and Seq2seqGruStep are one step of a recurrent layer. All
// take the matrix itself, too, and what Seq2seqPack made of it.
//
// Shapes: x (rows, inputs), matrix (inputs, outputs) or (outputs, inputs) if `transposed`, bias
// (outputs) or empty; kernel (inputs, gates * units), recurrent (units, gates * units), biases
// (gates * units) or empty, h and c (rows, units). All is float32.
#include "halved.h"
#include "recurrence.h"
#include "tensor.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kUnpackedRows = 2;  // of the first step; a beam has several times as many after it

const float* optional(const Tensor& tensor) { return tensor.size() ? tensor.data<float>() : nullptr; }

// A matrix with one of its packed forms; null are those that there are not.
struct Weights {
  Operand<float> matrix;
  int64_t depth, columns;
  float* packed = nullptr;
  uint32_t* halves = nullptr;

  Weights(const Tensor& matrix, bool transposed)
      : matrix{{matrix.data<float>(), matrix.dim(1)}, transposed},
        depth(matrix.dim(transposed ? 1 : 0)),
        columns(matrix.dim(transposed ? 0 : 1)) {}

  Weights(const Tensor& matrix, bool transposed, const Tensor& packed)
      : Weights(matrix, transposed) {
    if (packed.size() == 0) return;
    if (packed.size() > halved_size() + 1) {
      this->packed = packed.data<float>();
    } else if (packed.data<uint32_t>()[halved_size()]) {
      halves = packed.data<uint32_t>();
    }
  }

  int64_t halved_size() const { return depth * columns / 2; }
  Halved halved() const { return Halved(halves, matrix.transposed, depth, columns); }

  PackedMatrix<Singles> panels(int gates) const {
    return PackedMatrix<Singles>(depth, UnitBlocks(columns / gates).panels(gates), packed);
  }

  // C += A * this.
  void multiply_by(const float* a, int64_t rows, float* c) const {
    if (rows <= kFewRows && halves) {
      halved().multiply(threads(), {a, depth}, {c, columns}, rows);
    } else if (rows <= kFewRows) {
      multiply_few_rows(threads(), {a, depth}, matrix, {c, columns}, rows, depth, columns);
    } else {
      seq2seq::multiply<Singles>(threads(), Operand<float>{{a, depth}}, matrix, {c, columns}, rows, depth, columns,
               true);
    }
  }
};

void halve(Weights weights, const Call& call) {
  const float* matrix = weights.matrix.matrix.data;
  const bool promising = Halved::promising(matrix, weights.depth, weights.columns);
  const Tensor packed = call.output(0, {promising ? weights.halved_size() + 1 : 0});
  if (!promising) return;
  weights.halves = packed.data<uint32_t>();
  weights.halves[weights.halved_size()] = weights.halved().fill(threads(), matrix);
}

void pack(bool transposed, const Call& call) {
  const Tensor matrix = call.input(0);
  const int64_t rows = *call.input_data<int32_t>(1);
  const int gates = *call.input_data<int32_t>(2);
  Weights weights(matrix, transposed);
  const Threads::Turn turn(threads());
  if (rows <= kUnpackedRows) return halve(weights, call);
  const int64_t panels = UnitBlocks(weights.columns / gates).count * gates;
  const Tensor packed = call.output(0, {PackedMatrix<Singles>::size(weights.depth, panels)});
  weights.packed = packed.data<float>();
  weights.panels(gates).pack(threads(), weights.matrix);
}

void fill_rows(const float* row, int64_t size, int64_t rows, float* to) {
  for (int64_t i = 0; i < rows; ++i) {
    row ? std::memcpy(to + i * size, row, size * sizeof(float))
        : std::memset(to + i * size, 0, size * sizeof(float));
  }
}

void dense(bool transposed, const Call& call) {
  const Tensor x = call.input(0), matrix = call.input(1), packed = call.input(2),
               bias = call.input(3);
  const Weights weights(matrix, transposed, packed);
  const int64_t rows = x.dim(0), columns = weights.columns;
  const Tensor y = call.output(0, {rows, columns});
  const float* biases = optional(bias);
  float* to = y.data<float>();
  const Threads::Turn turn(threads());
  if (!weights.packed) {
    fill_rows(biases, columns, rows, to);
    return weights.multiply_by(x.data<float>(), rows, to);
  }
  PackedRows<Singles> packed_rows(rows, weights.depth);
  packed_rows.pack(threads(), Operand<float>{{x.data<float>(), weights.depth}}, 0, rows);
  const PackedMatrix<Singles> panels = weights.panels(1);
  const Pieces pieces(panels.count(), kPanelsInTurn);
  threads().run(pieces.count, [&](int64_t piece) {
    for (int64_t p = pieces.begin(piece); p < pieces.begin(piece + 1); ++p) {
      const int64_t column = p * kTileColumns;
      const int64_t width = std::min<int64_t>(kTileColumns, columns - column);
      for (int64_t i = 0; biases && i < rows; ++i) {
        std::memcpy(to + i * columns + column, biases + column, width * sizeof(float));
      }
      panels.multiply(packed_rows, p, {to, columns}, column, biases != nullptr);
    }
  });
}

// One step of a recurrent layer; the second state is c, of a GRU what h was made of.
template <typename Cell>
struct Step {
  const Weights kernel, recurrent;
  float *bias, *recurrent_bias;
  const float *x, *h_before, *second_before;
  float *h, *second;
  int64_t rows;

  int64_t units() const { return recurrent.depth; }

  // Makes a block of units of a row, from the input's and the states' part of its gates.
  void finish(int64_t row, int64_t unit, int width, Gates gates, Gates product) const {
    const int64_t at = row * units() + unit;
    const auto part = [&](float* of) { return Gates{of ? of + unit : of, units()}; };
    Cell::forward(width, gates, product, part(bias), part(recurrent_bias), h_before + at,
                  second_before + at, h + at, second + at);
  }

  void run(Threads& threads) const {
    kernel.packed && recurrent.packed ? run_packed(threads) : run_unpacked(threads);
  }

 private:
  void run_packed(Threads& threads) const {
    PackedRows<Singles> inputs(rows, kernel.depth), states(rows, units());
    inputs.pack(threads, Operand<float>{{x, kernel.depth}}, 0, rows);
    states.pack(threads, Operand<float>{{h_before, units()}}, 0, rows);
    const PackedMatrix<Singles> of_input = kernel.panels(Cell::kGates),
                       of_states = recurrent.panels(Cell::kGates);
    const UnitBlocks blocks(units());
    threads.run(blocks.count, [&](int64_t block) {
      constexpr int64_t stride = Cell::kGates * kTileColumns;
      thread_local std::vector<float> memory;
      memory.resize(2 * rows * stride);
      float *gates = memory.data(), *products = gates + rows * stride;
      for (int g = 0; g < Cell::kGates; ++g) {
        of_input.multiply(inputs, block * Cell::kGates + g, {gates, stride}, g * kTileColumns,
                          false);
      }
      for (int g = 0; g < Cell::kGates; ++g) {
        of_states.multiply(states, block * Cell::kGates + g, {products, stride}, g * kTileColumns,
                           false);
      }
      for (int64_t i = 0; i < rows; ++i) {
        finish(i, blocks.begin(block), blocks.width(block), {gates + i * stride, kTileColumns},
               {products + i * stride, kTileColumns});
      }
    });
  }

  void run_unpacked(Threads& threads) const {
    const int64_t width = Cell::kGates * units();
    std::vector<float> gates(rows * width), products(rows * width);
    kernel.multiply_by(x, rows, gates.data());
    recurrent.multiply_by(h_before, rows, products.data());
    for (int64_t i = 0; i < rows; ++i) {
      finish(i, 0, units(), {gates.data() + i * width, units()},
             {products.data() + i * width, units()});
    }
  }
};

template <typename Cell>
void step(bool, const Call& call) {
  const Tensor x = call.input(0), h_before = call.input(1), second_before = call.input(2),
               kernel = call.input(3), recurrent = call.input(4), packed_kernel = call.input(5),
               packed_recurrent = call.input(6), bias = call.input(7), recurrent_bias = call.input(8);
  const Tensor h = call.output(0, h_before.dims()), second = call.output(1, h_before.dims());
  const Threads::Turn turn(threads());
  Step<Cell>{{kernel, false, packed_kernel},
             {recurrent, false, packed_recurrent},
             const_cast<float*>(optional(bias)),
             const_cast<float*>(optional(recurrent_bias)),
             x.data<float>(),
             h_before.data<float>(),
             second_before.data<float>(),
             h.data<float>(),
             second.data<float>(),
             x.dim(0)}
      .run(threads());
}

template <typename Cell>
bool register_step(const char* name) {
  return register_op<kNoFlag, step<Cell>>(
      {name,
       {"x: float", "h_before: float", "second_before: float", "kernel: float", "recurrent: float",
        "packed_kernel: float", "packed_recurrent: float", "bias: float", "recurrent_bias: float"},
       {"h: float", "second: float"},
       {}});
}

const bool registered =
    register_op<kTransposed, pack>(
        {"Seq2seqPack", {"matrix: float", "rows: int32", "gates: int32"}, {"packed: float"}, {}}) &&
    register_op<kTransposed, dense>({"Seq2seqPackedDense",
                                     {"x: float", "matrix: float", "packed: float", "bias: float"},
                                     {"y: float"},
                                     {}}) &&
    register_step<Lstm>("Seq2seqLstmStep") && register_step<Gru>("Seq2seqGruStep");

}  // namespace
}  // namespace seq2seq
