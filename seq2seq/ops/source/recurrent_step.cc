// The ops Seq2seqLstmStep and Seq2seqGruStep: one step of a recurrent layer (cells.h has its
// equations) in a search, with packed weights (packed_weights.h).
//
// Shapes: x (rows, inputs), states (rows, units), kernel (inputs, gates * units), recurrent
// (units, gates * units), each also packed, biases (gates * units) or empty. h and the second state
// (c of an LSTM; of a GRU what cells.h calls q) have the type of x.
//
//   pack all rows of x and h'
//   in parallel, for blocks of 32 units
//     gates = x W, products = h' U      the block's panels, one for each gate
//     Cell::forward for each row
#include "packed_weights.h"

namespace seq2seq {
namespace {

struct StepInputs {
  static constexpr const char* kSpecs[] = {"x: T",
                                           "h_before: T",
                                           "second_before: T",
                                           "kernel: float",
                                           "recurrent: float",
                                           "packed_kernel: float",
                                           "packed_recurrent: float",
                                           "bias: float",
                                           "recurrent_bias: float"};
  Tensor x, previous_h, previous_second, kernel, recurrent, packed_kernel, packed_recurrent, bias,
      recurrent_bias;
};
struct StepOutputs {
  static constexpr const char* kSpecs[] = {"h: T", "second: T"};
  Output h, second;
};

template <typename Cell, typename T>
struct Step {
  const Weights<T> kernel, recurrent;
  float *bias, *recurrent_bias;  // may be null
  const T *x, *previous_h, *previous_second;
  T *h, *second;
  int64_t rows;

  int64_t units() const { return recurrent.depth(); }

  void run() const {
    bool has_panels = false;
    kernel.visit_panels([&](auto of_kernel) {
      has_panels = recurrent.visit_panels([&](auto of_recurrent) {
        run_with_panels<decltype(of_kernel), decltype(of_recurrent)>();
      });
    });
    if (!has_panels) run_without_panels();
  }

 private:
  template <typename KernelElement, typename RecurrentElement>
  void run_with_panels() const {
    PackedA<KernelElement> packed_x(rows, KernelElement::packed_depth(kernel.depth()));
    PackedA<RecurrentElement> packed_h(rows, RecurrentElement::packed_depth(units()));
    pack_rows(packed_x, x, rows, kernel.depth());
    pack_rows(packed_h, previous_h, rows, units());
    const auto kernel_panels = kernel.template panels<KernelElement>();
    const auto recurrent_panels = recurrent.template panels<RecurrentElement>();
    const UnitBlocks blocks(units());
    thread_pool().parallel_for(blocks.count, [&](int64_t block) {
      constexpr int64_t kStride = Cell::kGates * kTileColumns;
      thread_local std::vector<float> memory;
      memory.resize(2 * rows * kStride);
      float *gates = memory.data(), *products = gates + rows * kStride;
      for (int g = 0; g < Cell::kGates; ++g) {
        kernel_panels.multiply(packed_x, block * Cell::kGates + g, {gates, kStride},
                               g * kTileColumns, {});
      }
      for (int g = 0; g < Cell::kGates; ++g) {
        recurrent_panels.multiply(packed_h, block * Cell::kGates + g, {products, kStride},
                                  g * kTileColumns, {});
      }
      for (int64_t i = 0; i < rows; ++i) {
        apply_cell(i, blocks.begin(block), blocks.width(block), {gates + i * kStride, kTileColumns},
                   {products + i * kStride, kTileColumns});
      }
    });
  }

  void run_without_panels() const {
    const int64_t width = Cell::kGates * units();
    std::vector<float> gates(rows * width), products(rows * width);
    kernel.multiply_without_panels(x, rows, nullptr, gates.data());
    recurrent.multiply_without_panels(previous_h, rows, nullptr, products.data());
    const UnitBlocks blocks(units());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t block = 0; block < blocks.count; ++block) {
        const int64_t begin = blocks.begin(block), at = i * width + begin;
        apply_cell(i, begin, blocks.width(block), {gates.data() + at, units()},
                   {products.data() + at, units()});
      }
    }
  }

  // Computes the states of a block of units of a row.
  void apply_cell(int64_t row, int64_t unit, int width, Gates gates, Gates products) const {
    const int64_t at = row * units() + unit;
    const auto of_units = [&](float* of_gates) {
      return Gates{of_gates ? of_gates + unit : of_gates, units()};
    };
    float previous[2][kTileColumns], next[2][kTileColumns];
    for_each_vector(width, [&](int64_t u, int count) {
      store(previous[0] + u, load(previous_h + at + u, count));
      store(previous[1] + u, load(previous_second + at + u, count));
    });
    Cell::forward(width, gates, products, of_units(bias), of_units(recurrent_bias), previous[0],
                  previous[1], next[0], next[1]);
    for_each_vector(width, [&](int64_t u, int count) {
      store(h + at + u, load(next[0] + u), count);
      store(second + at + u, load(next[1] + u), count);
    });
  }
};

template <typename Cell>
void step(const StepInputs& in, const StepOutputs& out) {
  expect_shape("x", in.x, {kAny, kAny});
  expect_shape("recurrent", in.recurrent, {kAny, kAny});
  const int64_t rows = in.x.dim(0), units = in.recurrent.dim(0), width = Cell::kGates * units;
  expect_shape("kernel", in.kernel, {in.x.dim(1), width});
  expect_shape("recurrent", in.recurrent, {units, width});
  expect_shape("h_before", in.previous_h, {rows, units});
  expect_shape("second_before", in.previous_second, {rows, units});
  expect_shape_or_empty("bias", in.bias, {width});
  expect_shape_or_empty("recurrent_bias", in.recurrent_bias, {width});
  const Tensor h = out.h.allocate({rows, units}), second = out.second.allocate({rows, units});
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    Step<Cell, T>{{in.kernel, false, Cell::kGates, in.packed_kernel},
                  {in.recurrent, false, Cell::kGates, in.packed_recurrent},
                  in.bias.data_or_null<float>(),
                  in.recurrent_bias.data_or_null<float>(),
                  in.x.data<T>(),
                  in.previous_h.data<T>(),
                  in.previous_second.data<T>(),
                  h.data<T>(),
                  second.data<T>(),
                  rows}
        .run();
  });
}

const bool registered = register_op<step<Lstm>>("Seq2seqLstmStep", {kMatrixTypes}) &&
                        register_op<step<Gru>>("Seq2seqGruStep", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
