// The ops Seq2seq{Lstm,Gru}Forward and Seq2seq{Lstm,Gru}Backward.
//
// Shapes: x (batch, time, features), kernel (features, gates * units), recurrent
// (units, gates * units), biases (gates * units) or empty, states (batch, units), mask
// (batch, time) or empty. All results are float32; but h is there once more as bfloat16 where x is,
// and so are the gradients of that and of x.
#include "elementwise.h"
#include "recurrence.h"
#include "tensor.h"

namespace seq2seq {
namespace {

constexpr char kGoBackwards[] = "go_backwards";

Shape shape_of(bool backwards, const Tensor& x, const Tensor& h, const Tensor& mask) {
  return {x.dim(0), x.dim(1), x.dim(2), h.dim(1), backwards,
          mask.size() ? mask.data<bool>() : nullptr};
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
  const Shape s = shape_of(backwards, x, h_before, mask);
  const Tensor h = call.output(0, {s.batch, s.time, s.units});
  const Tensor second = call.output(1, {s.batch, s.time, s.units});
  const Tensor gates = call.output(2, {s.batch, s.time, Cell::kGates * s.units});
  const Tensor last_h = call.output(3, {s.batch, s.units});
  const Tensor last_second = call.output(4, {s.batch, s.units});
  const Tensor rounded_h = call.output(5, {call.takes_bfloat16() ? s.batch : 0, s.time, s.units});
  const History history{h_before.data<float>(),
                        second_before.data<float>(),
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
  const Shape s = shape_of(backwards, x, h_before, mask);
  const int64_t width = Cell::kGates * s.units;
  auto* gates = const_cast<float*>(call.input_data<float>(8));  // read, before d_gates is written
  const Tensor d_x = call.output(0, {s.batch, s.time, s.features});
  const Tensor d_kernel = call.output(1, {s.features, width});
  const Tensor d_recurrent = call.output(2, {s.units, width});
  const Tensor d_bias = call.output(3, {width});
  const Tensor d_recurrent_bias = call.output(4, {width});
  const Tensor d_h = call.output(5, {s.batch, s.units});
  const Tensor d_second = call.output(6, {s.batch, s.units});
  const Tensor d_gates = call.output(7, {s.batch, s.time, width}, 8);
  const Tensor d_products = call.output(8, {Cell::kTwoInputs ? s.batch : 0, s.time, width});
  float* products = (Cell::kTwoInputs ? d_products : d_gates).template data<float>();
  std::memcpy(d_h.data<float>(), d_last_h.data<float>(), d_h.size() * sizeof(float));
  std::memcpy(d_second.data<float>(), d_last_second.data<float>(), d_h.size() * sizeof(float));
  const History history{h_before.data<float>(), second_before.data<float>(), h.data<float>(),
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
                            d_h.data<float>() + first * s.units,
                            d_second.data<float>() + first * s.units,
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
