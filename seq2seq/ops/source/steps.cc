// What a decoder does at each step of a search, on weights that stay the same from step to step.
//
// Seq2seqPack packs a matrix once for all steps. Where there are so few rows that packing would take
// longer than all products, it gives an empty tensor; or, of a matrix that may be rounded to
// bfloat16 or whose elements all are, half of the memory. With `eight_bits`, where this processor has
// instructions for that, products whose depth fits are made so (quads.h). A last word says what form
// there is.
// Seq2seqPackedDense is x * matrix + bias, Seq2seqPackedTanhDense the tanh of it; Seq2seqLstmStep and
// Seq2seqGruStep are one step of a recurrent layer. All take the matrix itself, too, and what
// Seq2seqPack made of it.
//
// Shapes: x (rows, inputs), matrix (inputs, outputs) or (outputs, inputs) if `transposed`, bias
// (outputs) or empty; kernel (inputs, gates * units), recurrent (units, gates * units), biases
// (gates * units) or empty, h and c (rows, units). Weights are float32. Where x, h and c are bfloat16,
// as an example of x tells Seq2seqPack, products may be made in that.
#include "elementwise.h"
#include "halved.h"
#include "quads.h"
#include "recurrence.h"
#include "shapes.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kUnpackedRows = 2;  // of the first step; a beam has several times as many after it

const float* optional(const Tensor& tensor) { return tensor.size() ? tensor.data<float>() : nullptr; }

enum class Form : uint32_t { kNone, kHalves, kPanelsOfSingles, kPanelsOfPairs, kPanelsOfQuads };

void fill_rows(const float* row, int64_t size, int64_t rows, float* to) {
  for (int64_t i = 0; i < rows; ++i) {
    row ? std::memcpy(to + i * size, row, size * sizeof(float))
        : std::memset(to + i * size, 0, size * sizeof(float));
  }
}

// A matrix with one of its packed forms, for products with rows of type T.
template <typename T>
struct Weights {
  using Words = WordsOf<T>;
  static constexpr Form kPanels =
      Words::kValues > 1 ? Form::kPanelsOfPairs : Form::kPanelsOfSingles;

  Operand<float> matrix;
  int64_t depth, columns;
  float* packed = nullptr;
  Form form = Form::kNone;

  Weights(const Tensor& matrix, bool transposed) {
    expect("matrix", matrix, {kAny, kAny});
    this->matrix = {{matrix.data<float>(), matrix.dim(1)}, transposed};
    depth = matrix.dim(transposed ? 1 : 0);
    columns = matrix.dim(transposed ? 0 : 1);
  }

  Weights(const Tensor& matrix, bool transposed, const Tensor& packed, int gates = 1)
      : Weights(matrix, transposed) {
    expect("packed", packed, {kAny});
    if (packed.size() == 0) return;
    this->packed = packed.data<float>();
    form = packed.data<Form>()[packed.size() - 1];
    if (!is_read(form)) {
      form = Form::kNone;
    } else if (packed.size() - 1 != words(form, gates)) {
      throw std::invalid_argument("packed: is not a packed form of its matrix");
    }
  }

  // Whether products read a form; one for rows of the other type they do not.
  static bool is_read(Form form) {
#ifdef SEQ2SEQ_QUADS
    if (form == Form::kPanelsOfQuads) return true;
#endif
    return form == Form::kHalves || form == kPanels;
  }

  void expect_operands(const Tensor& x, const Tensor& bias) const {
    expect("x", x, {kAny, depth});
    expect_or_none("bias", bias, {columns});
  }

  // How many words a form has, without the last one; -1 if there is no such form of this matrix.
  int64_t words(Form form, int gates) const {
    if (form == Form::kHalves) return Halved::fits(depth, columns) ? depth * columns / 2 : -1;
    const int64_t panels = UnitBlocks(columns / gates).count * gates;
    if (form == kPanels) return PackedMatrix<Words>::size(Words::packed_depth(depth), panels);
#ifdef SEQ2SEQ_QUADS
    if (form == Form::kPanelsOfQuads && Quads::fit(depth)) {
      return PackedMatrix<Quads>::size(Quads::packed_depth(depth), panels);
    }
#endif
    return -1;
  }

  // Calls `use` with the words of the panels; returns whether there are any.
  template <typename Use>
  bool with_panels(const Use& use) const {
    if (form == kPanels) return use(Words{}), true;
#ifdef SEQ2SEQ_QUADS
    if (form == Form::kPanelsOfQuads) return use(Quads{}), true;
#endif
    return false;
  }

  Halved halved() const {
    return Halved(reinterpret_cast<uint32_t*>(packed), matrix.transposed, depth, columns);
  }

  template <typename W>
  PackedMatrix<W> panels(int gates) const {
    return PackedMatrix<W>(W::packed_depth(depth), UnitBlocks(columns / gates).panels(gates), packed);
  }

  // C = A * this, each row added to `row` unless that is null; where there are no panels.
  template <typename A>
  void multiply_by(const A* a, int64_t rows, const float* row, float* c) const {
    if (rows > kFewRows) {
      return multiply<Words>(threads(), Operand<A>{{a, depth}}, matrix, {c, columns}, rows, depth,
                             columns, Onto{false, row});
    }
    fill_rows(row, columns, rows, c);
    std::vector<float> widened(std::is_same_v<A, float> ? 0 : rows * depth);
    const float* left = widened.data();
    if constexpr (std::is_same_v<A, float>) {
      left = a;
    } else {
      std::transform(a, a + rows * depth, widened.begin(), [](A value) { return to_float(value); });
    }
    if (form == Form::kHalves) {
      halved().multiply(threads(), {left, depth}, {c, columns}, rows);
    } else {
      multiply_few_rows(threads(), {left, depth}, matrix, {c, columns}, rows, depth, columns);
    }
  }
};

// An output for `size` words, and one that says what form they have.
float* packed_output(const Call& call, int64_t size, Form form) {
  const Tensor packed = call.output(0, {size ? size + 1 : 0});
  if (size) packed.data<Form>()[size] = form;
  return packed.data<float>();
}

// Makes the output that the panels of a matrix are packed into.
template <typename Words, typename T>
PackedMatrix<Words> new_panels(const Call& call, Weights<T>& weights, int gates, Form form) {
  const int64_t panels = UnitBlocks(weights.columns / gates).count * gates;
  const int64_t depth = Words::packed_depth(weights.depth);
  weights.packed = packed_output(call, PackedMatrix<Words>::size(depth, panels), form);
  return weights.template panels<Words>(gates);
}

template <typename T>
void pack_as(bool transposed, const Call& call) {
  const Tensor matrix = call.input(1);
  const int64_t rows = scalar<int32_t>("rows", call.input(2));
  const int gates = scalar<int32_t>("gates", call.input(3));
  const bool eight_bits = scalar<bool>("eight_bits", call.input(4));
  Weights<T> weights(matrix, transposed);
  if (rows < 0) throw std::invalid_argument("rows: must be at least 0");
  if (gates < 1 || weights.columns % gates) {
    throw std::invalid_argument("gates: the matrix' columns must fall into so many parts");
  }
  using Words = typename Weights<T>::Words;
  const int64_t depth = weights.depth, columns = weights.columns;
  const Threads::Turn turn(threads());
#ifdef SEQ2SEQ_QUADS
  if (eight_bits && Quads::fit(depth)) {
    const Buffer words(Quads::packed_depth(depth) * columns);
    const Operand<float> quads = Quads::right(threads(), weights.matrix, depth, columns, words);
    return new_panels<Quads>(call, weights, gates, Form::kPanelsOfQuads).pack(threads(), quads);
  }
#endif
  if (rows > kUnpackedRows) {
    new_panels<Words>(call, weights, gates, Weights<T>::kPanels).pack(threads(), weights.matrix);
    return;
  }
  const float* values = matrix.data<float>();
  constexpr bool rounds = Words::kValues > 1;
  const bool halves =
      Halved::fits(depth, columns) && (rounds || Halved::promising(values, depth, columns));
  const int64_t size = halves ? depth * columns / 2 : 0;
  weights.packed = packed_output(call, size, Form::kHalves);
  if (!halves) return;
  const bool whole = weights.halved().fill(threads(), values);
  if (!rounds && !whole) reinterpret_cast<Form*>(weights.packed)[size] = Form::kNone;
}

void pack(bool transposed, const Call& call) {
  call.takes_bfloat16() ? pack_as<BFloat16>(transposed, call) : pack_as<float>(transposed, call);
}

// Packs the rows of a left operand, in 8 bits after they have got their scales.
template <typename Words, typename T>
void pack_left(PackedRows<Words>& packed, const T* x, int64_t rows, int64_t depth) {
  if constexpr (Words::kExtra == 0) {
    packed.pack(threads(), Operand<T>{{x, depth}}, 0, rows);
  } else {
    const Buffer words(rows * Words::packed_depth(depth));
    packed.pack(threads(), Words::left(threads(), x, rows, depth, words), 0, rows);
  }
}

// Computes x * matrix + bias.
template <typename T>
void multiply_packed(const Tensor& x, const Weights<T>& weights, const float* bias, float* y) {
  const int64_t rows = x.dim(0), columns = weights.columns;
  const bool packed = weights.with_panels([&](auto words) {
    using Words = decltype(words);
    PackedRows<Words> packed_rows(rows, Words::packed_depth(weights.depth));
    pack_left(packed_rows, x.data<T>(), rows, weights.depth);
    const PackedMatrix<Words> panels = weights.template panels<Words>(1);
    const Pieces pieces(panels.count(), kPanelsInTurn);
    threads().run(pieces.count, [&](int64_t piece) {
      for (int64_t p = pieces.begin(piece); p < pieces.begin(piece + 1); ++p) {
        panels.multiply(packed_rows, p, {y, columns}, p * kTileColumns, Onto{false, bias});
      }
    });
  });
  if (!packed) weights.multiply_by(x.data<T>(), rows, bias, y);
}

template <typename T>
void dense_as(bool transposed, const Call& call) {
  const Tensor x = call.input(0), matrix = call.input(1), packed = call.input(2),
               bias = call.input(3);
  const Weights<T> weights(matrix, transposed, packed);
  weights.expect_operands(x, bias);
  const Tensor y = call.output(0, {x.dim(0), weights.columns});
  const Threads::Turn turn(threads());
  multiply_packed(x, weights, optional(bias), y.data<float>());
}

template <typename T>
void tanh_dense_as(const Call& call) {
  const Tensor x = call.input(0), matrix = call.input(1), packed = call.input(2),
               bias = call.input(3);
  const Weights<T> weights(matrix, false, packed);
  weights.expect_operands(x, bias);
  const Tensor y = call.output(0, {x.dim(0), weights.columns});
  const Threads::Turn turn(threads());
  const Buffer sums(y.size());
  multiply_packed(x, weights, optional(bias), sums.data());
  run_vectors(threads(), y.size(), [&](int64_t i, int count) {
    store(y.data<T>() + i, tanh(load(sums.data() + i, count)), count);
  });
}

void dense(bool transposed, const Call& call) {
  call.takes_bfloat16() ? dense_as<BFloat16>(transposed, call) : dense_as<float>(transposed, call);
}

void tanh_dense(bool, const Call& call) {
  call.takes_bfloat16() ? tanh_dense_as<BFloat16>(call) : tanh_dense_as<float>(call);
}

// One step of a recurrent layer; the second state is c, of a GRU what h was made of.
template <typename Cell, typename T>
struct Step {
  const Weights<T> kernel, recurrent;
  float *bias, *recurrent_bias;
  const T *x, *h_before, *second_before;
  T *h, *second;
  int64_t rows;

  int64_t units() const { return recurrent.depth; }

  // Makes a block of units of a row, from the input's and the states' part of its gates.
  void finish(int64_t row, int64_t unit, int width, Gates gates, Gates product) const {
    const int64_t at = row * units() + unit;
    const auto part = [&](float* of) { return Gates{of ? of + unit : of, units()}; };
    float before[2][kTileColumns], after[2][kTileColumns];
    each_vector(width, [&](int64_t u, int count) {
      store(before[0] + u, load(h_before + at + u, count));
      store(before[1] + u, load(second_before + at + u, count));
    });
    Cell::forward(width, gates, product, part(bias), part(recurrent_bias), before[0], before[1],
                  after[0], after[1]);
    each_vector(width, [&](int64_t u, int count) {
      store(h + at + u, load(after[0] + u), count);
      store(second + at + u, load(after[1] + u), count);
    });
  }

  void run(Threads& threads) const {
    bool packed = false;
    kernel.with_panels([&](auto of_input) {
      packed = recurrent.with_panels([&](auto of_states) {
        run_packed<decltype(of_input), decltype(of_states)>(threads);
      });
    });
    if (!packed) run_unpacked(threads);
  }

 private:
  template <typename InputWords, typename StateWords>
  void run_packed(Threads& threads) const {
    PackedRows<InputWords> inputs(rows, InputWords::packed_depth(kernel.depth));
    PackedRows<StateWords> states(rows, StateWords::packed_depth(units()));
    pack_left(inputs, x, rows, kernel.depth);
    pack_left(states, h_before, rows, units());
    const auto of_input = kernel.template panels<InputWords>(Cell::kGates);
    const auto of_states = recurrent.template panels<StateWords>(Cell::kGates);
    const UnitBlocks blocks(units());
    threads.run(blocks.count, [&](int64_t block) {
      constexpr int64_t stride = Cell::kGates * kTileColumns;
      thread_local std::vector<float> memory;
      memory.resize(2 * rows * stride);
      float *gates = memory.data(), *products = gates + rows * stride;
      for (int g = 0; g < Cell::kGates; ++g) {
        of_input.multiply(inputs, block * Cell::kGates + g, {gates, stride}, g * kTileColumns,
                          {});
      }
      for (int g = 0; g < Cell::kGates; ++g) {
        of_states.multiply(states, block * Cell::kGates + g, {products, stride}, g * kTileColumns,
                           {});
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
    kernel.multiply_by(x, rows, nullptr, gates.data());
    recurrent.multiply_by(h_before, rows, nullptr, products.data());
    const UnitBlocks blocks(units());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t block = 0; block < blocks.count; ++block) {
        const int64_t begin = blocks.begin(block), at = i * width + begin;
        finish(i, begin, blocks.width(block), {gates.data() + at, units()},
               {products.data() + at, units()});
      }
    }
  }
};

template <typename Cell>
void step(bool, const Call& call) {
  const Tensor x = call.input(0), h_before = call.input(1), second_before = call.input(2),
               kernel = call.input(3), recurrent = call.input(4), packed_kernel = call.input(5),
               packed_recurrent = call.input(6), bias = call.input(7), recurrent_bias = call.input(8);
  expect("x", x, {kAny, kAny});
  expect("recurrent", recurrent, {kAny, kAny});
  const int64_t rows = x.dim(0), units = recurrent.dim(0), width = Cell::kGates * units;
  expect("kernel", kernel, {x.dim(1), width});
  expect("recurrent", recurrent, {units, width});
  expect("h_before", h_before, {rows, units});
  expect("second_before", second_before, {rows, units});
  expect_or_none("bias", bias, {width});
  expect_or_none("recurrent_bias", recurrent_bias, {width});
  const Tensor h = call.output(0, {rows, units}), second = call.output(1, {rows, units});
  const Threads::Turn turn(threads());
  const auto run = [&](auto type) {
    using T = decltype(type);
    Step<Cell, T>{{kernel, false, packed_kernel, Cell::kGates},
                  {recurrent, false, packed_recurrent, Cell::kGates},
                  const_cast<float*>(optional(bias)),
                  const_cast<float*>(optional(recurrent_bias)),
                  x.data<T>(),
                  h_before.data<T>(),
                  second_before.data<T>(),
                  h.data<T>(),
                  second.data<T>(),
                  rows}
        .run(threads());
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

template <typename Cell>
bool register_step(const char* name) {
  return register_op<kNoFlag, step<Cell>>(
      {name,
       {"x: T", "h_before: T", "second_before: T", "kernel: float", "recurrent: float",
        "packed_kernel: float", "packed_recurrent: float", "bias: float", "recurrent_bias: float"},
       {"h: T", "second: T"},
       {kMatrixType}});
}

const bool registered =
    register_op<kTransposed, pack>({"Seq2seqPack",
                                    {"example: T", "matrix: float", "rows: int32", "gates: int32",
                                     "eight_bits: bool"},
                                    {"packed: float"},
                                    {kMatrixType}}) &&
    register_op<kTransposed, dense>({"Seq2seqPackedDense",
                                     {"x: T", "matrix: float", "packed: float", "bias: float"},
                                     {"y: float"},
                                     {kMatrixType}}) &&
    register_op<kNoFlag, tanh_dense>({"Seq2seqPackedTanhDense",
                                      {"x: T", "matrix: float", "packed: float", "bias: float"},
                                      {"y: T"},
                                      {kMatrixType}}) &&
    register_step<Lstm>("Seq2seqLstmStep") && register_step<Gru>("Seq2seqGruStep");

}  // namespace
}  // namespace seq2seq
