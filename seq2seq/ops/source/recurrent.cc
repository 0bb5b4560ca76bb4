// The ops Seq2seq{Lstm,Gru}Forward and Seq2seq{Lstm,Gru}Backward.
//
// Shapes: x (batch, time, features), kernel (features, gates * units), recurrent
// (units, gates * units), biases (gates * units) or empty, states (batch, units), mask
// (batch, time) or empty; states and mask may have one row for all. All results are float32; but h is there once more as bfloat16 where x is,
// and so are the gradients of that and of x.
#include "elementwise.h"
#include "recurrence.h"
#include "shapes.h"

namespace seq2seq {
namespace {

constexpr char kGoBackwards[] = "go_backwards";

// What both passes are given: checked, and with a row of states and mask for each row of x.
template <typename Cell>
struct Given {
  Shape shape;
  Rows<float> h_before, second_before;
  Rows<bool> mask;

  Given(bool backwards, const Tensor& x, const Tensor& kernel, const Tensor& recurrent,
        const Tensor& h_before, const Tensor& second_before, const Tensor& mask)
      : shape(checked(x, kernel, recurrent, h_before, second_before, mask)),
        h_before(h_before, shape.batch),
        second_before(second_before, shape.batch),
        mask(mask, shape.batch) {
    shape.backwards = backwards;
    shape.mask = this->mask.data();
  }

 private:
  static Shape checked(const Tensor& x, const Tensor& kernel, const Tensor& recurrent,
                       const Tensor& h_before, const Tensor& second_before, const Tensor& mask) {
    expect("x", x, {kAny, kAny, kAny});
    expect("recurrent", recurrent, {kAny, kAny});
    const int64_t batch = x.dim(0), time = x.dim(1), features = x.dim(2), units = recurrent.dim(0);
    expect("recurrent", recurrent, {units, Cell::kGates * units});
    expect("kernel", kernel, {features, Cell::kGates * units});
    expect_rows("h_before", h_before, {batch, units});
    expect_rows("second_before", second_before, {batch, units});
    if (!is_none(mask, 2)) expect_rows("mask", mask, {batch, time});
    return {batch, time, features, units, false, nullptr};
  }
};

// The gradient of states, from the one of each row: of which there may be one for all.
void sum_states(const float* of_rows, int64_t rows, const Tensor& d_states) {
  const int64_t width = d_states.dim(1);
  float* to = d_states.data<float>();
  if (d_states.dim(0) == rows) {
    std::memcpy(to, of_rows, rows * width * sizeof(float));
    return;
  }
  std::fill(to, to + width, 0.f);
  for (int64_t i = 0; i < rows * width; ++i) to[i % width] += of_rows[i];
}

constexpr int64_t kNearWeights = 320 * 1024;  // 1.25 MiB: they stay in the second cache

// Runs `task` with a shape, the first of its rows, and threads. Halves of the rows go through all
// steps without waiting for each other, where each processor can keep all weights near.
template <typename Cell, typename Task>
void by_rows(const Shape& s, const Task& task) {
  const Pieces halves(s.batch, std::max<int64_t>(1, (s.batch + 1) / 2));
  if (halves.count < 2 || Cell::kGates * s.units * s.units > kNearWeights) {
    return task(s, 0, threads());
  }
  run_side_by_side([&](int half, Threads& some) {
    task(s.rows(halves.begin(half), halves.length(half)), halves.begin(half), some);
  });
}

template <typename Cell>
void forward(bool backwards, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), recurrent = call.input(2),
               bias = call.input(3), recurrent_bias = call.input(4), h_before = call.input(5),
               second_before = call.input(6), mask = call.input(7);
  const Given<Cell> given(backwards, x, kernel, recurrent, h_before, second_before, mask);
  const Shape& s = given.shape;
  expect_or_none("bias", bias, {Cell::kGates * s.units});
  expect_or_none("recurrent_bias", recurrent_bias, {Cell::kGates * s.units});
  const Tensor h = call.output(0, {s.batch, s.time, s.units});
  const Tensor second = call.output(1, {s.batch, s.time, s.units});
  const Tensor gates = call.output(2, {s.batch, s.time, Cell::kGates * s.units});
  const Tensor last_h = call.output(3, {s.batch, s.units});
  const Tensor last_second = call.output(4, {s.batch, s.units});
  const Tensor rounded_h = call.output(5, {call.takes_bfloat16() ? s.batch : 0, s.time, s.units});
  const History history{given.h_before.data(),
                        given.second_before.data(),
                        h.data<float>(),
                        second.data<float>(),
                        gates.data<float>(),
                        s.units,
                        false,
                        rounded_h.data_if_any<BFloat16>()};
  const auto run = [&](auto type) {
    using T = decltype(type);
    by_rows<Cell>(s, [&](const Shape& rows, int64_t first, Threads& some) {
      run_forward<Cell>(some, rows, x.data<T>() + s.position(first, 0) * s.features,
                        kernel.data<float>(), recurrent.data<float>(), bias.data_if_any<float>(),
                        recurrent_bias.data_if_any<float>(), history.rows(s, first, Cell::kGates));
    });
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
  last_states(s, history, last_h.data<float>(), last_second.data<float>());
}

template <typename Cell>
void backward(bool backwards, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), recurrent = call.input(2),
               h_before = call.input(3), second_before = call.input(4), mask = call.input(5),
               h = call.input(6), second = call.input(7),
               d_sequence = call.input(9), d_last_h = call.input(10), d_last_second = call.input(11);
  const Given<Cell> given(backwards, x, kernel, recurrent, h_before, second_before, mask);
  const Shape& s = given.shape;
  const int64_t width = Cell::kGates * s.units;
  expect("h", h, {s.batch, s.time, s.units});
  expect("second", second, {s.batch, s.time, s.units});
  expect("gates", call.input(8), {s.batch, s.time, width});
  expect_or_none("d_sequence", d_sequence, {s.batch, s.time, s.units});
  expect("d_last_h", d_last_h, {s.batch, s.units});
  expect("d_last_second", d_last_second, {s.batch, s.units});
  auto* gates = const_cast<float*>(call.input_data<float>(8));  // read, before d_gates is written
  const Tensor d_x = call.output(0, {s.batch, s.time, s.features});
  const Tensor d_kernel = call.output(1, {s.features, width});
  const Tensor d_recurrent = call.output(2, {s.units, width});
  const Tensor d_bias = call.output(3, {width});
  const Tensor d_recurrent_bias = call.output(4, {width});
  const Tensor d_h = call.output(5, h_before.dims());
  const Tensor d_second = call.output(6, second_before.dims());
  const Tensor d_gates = call.output(7, {s.batch, s.time, width}, 8);
  const Tensor d_products = call.output(8, {Cell::kTwoInputs ? s.batch : 0, s.time, width});
  float* products = (Cell::kTwoInputs ? d_products : d_gates).template data<float>();
  const int64_t states = s.batch * s.units;
  const Buffer d_h_of_rows(states), d_second_of_rows(states);
  std::memcpy(d_h_of_rows.data(), d_last_h.data<float>(), states * sizeof(float));
  std::memcpy(d_second_of_rows.data(), d_last_second.data<float>(), states * sizeof(float));
  const History history{given.h_before.data(), given.second_before.data(), h.data<float>(),
                        second.data<float>(), gates, s.units};
  const WeightGradients gradients{d_kernel.data<float>(), d_recurrent.data<float>(),
                                  d_bias.data<float>(), d_recurrent_bias.data<float>()};
  const auto run = [&](auto type) {
    using T = decltype(type);
    by_rows<Cell>(s, [&](const Shape& rows, int64_t first, Threads& some) {
      const int64_t step = s.position(first, 0);
      const T* d = d_sequence.data_if_any<T>();
      run_backward<Cell, T>(some, rows, recurrent.data<float>(),
                            history.rows(s, first, Cell::kGates), d ? d + step * s.units : d,
                            d_h_of_rows.data() + first * s.units,
                            d_second_of_rows.data() + first * s.units,
                            d_gates.data<float>() + step * width, products + step * width);
    });
    weight_gradients<Cell>(threads(), s, x.data<T>(), history, d_gates.data<float>(), products,
                           gradients);
    const Rounding<T> result(d_x.data<T>(), d_x.size());
    input_gradient<Cell, T>(threads(), s, kernel.data<float>(), history, d_gates.data<float>(),
                            result.data());
    result.finish(threads());
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
  sum_states(d_h_of_rows.data(), s.batch, d_h);
  sum_states(d_second_of_rows.data(), s.batch, d_second);
}

template <typename Cell>
bool register_ops(const char* forward_name, const char* backward_name) {
  return register_op<kGoBackwards, forward<Cell>>(
             {forward_name,
              {"x: T", "kernel: float", "recurrent: float", "bias: float", "recurrent_bias: float",
               "h_before: float", "second_before: float", "mask: bool"},
              {"h: float", "second: float", "gates: float", "last_h: float", "last_second: float",
               "rounded_h: T"},
              {kMatrixType}}) &&
         register_op<kGoBackwards, backward<Cell>>(
             {backward_name,
              {"x: T", "kernel: float", "recurrent: float", "h_before: float", "second_before: float",
               "mask: bool", "h: float", "second: float", "gates: float", "d_sequence: T",
               "d_last_h: float", "d_last_second: float"},
              {"d_x: T", "d_kernel: float", "d_recurrent: float", "d_bias: float",
               "d_recurrent_bias: float", "d_h: float", "d_second: float", "d_gates: float",
               "d_products: float"},
              {kMatrixType}});
}

const bool registered = register_ops<Lstm>("Seq2seqLstmForward", "Seq2seqLstmBackward") &&
                        register_ops<Gru>("Seq2seqGruForward", "Seq2seqGruBackward");

}  // namespace
}  // namespace seq2seq
