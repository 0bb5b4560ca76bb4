// The ops Seq2seqDense and Seq2seqDenseGradient: x * kernel + bias on all rows, or the tanh of it, and
// back.
//
// Shapes: x (rows, inputs), kernel (inputs, outputs), bias (outputs), y (rows, outputs). Gradients of
// weights are float32; y may be empty for the gradient without tanh.
#include "elementwise.h"
#include "product.h"
#include "shapes.h"

namespace seq2seq {
namespace {

constexpr char kTanh[] = "tanh";

template <typename T>
void forward_as(bool with_tanh, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), bias = call.input(2);
  expect("x", x, {kAny, kAny});
  expect("kernel", kernel, {x.dim(1), kAny});
  expect("bias", bias, {kernel.dim(1)});
  const int64_t rows = x.dim(0), inputs = x.dim(1), outputs = kernel.dim(1);
  const Tensor y = call.output(0, {rows, outputs});
  const Threads::Turn turn(threads());
  const Rounding<T> result(y.data<T>(), y.size());
  multiply<WordsOf<T>>(threads(), Operand<T>{{x.data<T>(), inputs}},
                       Operand<float>{{kernel.data<float>(), outputs}}, {result.data(), outputs},
                       rows, inputs, outputs, Onto{false, bias.data<float>()});
  if (!with_tanh) return result.finish(threads());
  run_vectors(threads(), y.size(), [&](int64_t i, int count) {
    store(y.data<T>() + i, tanh(load(result.data() + i, count)), count);
  });
}

template <typename T>
void backward_as(bool with_tanh, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), y = call.input(2), d_y = call.input(3);
  expect("x", x, {kAny, kAny});
  expect("kernel", kernel, {x.dim(1), kAny});
  const int64_t rows = x.dim(0), inputs = x.dim(1), outputs = kernel.dim(1);
  with_tanh ? expect("y", y, {rows, outputs}) : expect_or_none("y", y, {rows, outputs});
  expect("d_y", d_y, {rows, outputs});
  const Tensor d_x = call.output(0, {rows, inputs});
  const Tensor d_kernel = call.output(1, {inputs, outputs});
  const Tensor d_bias = call.output(2, {outputs});
  const Threads::Turn turn(threads());
  const Buffer before_tanh(with_tanh ? d_y.size() : 0);
  run_vectors(threads(), with_tanh ? d_y.size() : 0, [&](int64_t i, int count) {
    const Vector value = load(y.data<T>() + i, count), d = load(d_y.data<T>() + i, count);
    store(before_tanh.data() + i, d * (1.f - value * value), count);
  });
  const auto differentiate = [&](const auto* d_sums) {
    using D = std::remove_const_t<std::remove_pointer_t<decltype(d_sums)>>;
    const Matrix<const D> d{d_sums, outputs};
    const Rounding<T> result(d_x.data<T>(), d_x.size());
    multiply<WordsOf<T>>(threads(), Operand<D>{d},
                         Operand<float>{{kernel.data<float>(), outputs}, true},
                         {result.data(), inputs}, rows, outputs, inputs);
    result.finish(threads());
    multiply<WordsOf<T>>(threads(), Operand<T>{{x.data<T>(), inputs}, true}, Operand<D>{d},
                         {d_kernel.data<float>(), outputs}, inputs, rows, outputs);
    sum_rows(threads(), d, rows, outputs, d_bias.data<float>());
  };
  with_tanh ? differentiate(static_cast<const float*>(before_tanh.data()))
            : differentiate(static_cast<const T*>(d_y.data<T>()));
}

void forward(bool with_tanh, const Call& call) {
  call.takes_bfloat16() ? forward_as<BFloat16>(with_tanh, call) : forward_as<float>(with_tanh, call);
}

void backward(bool with_tanh, const Call& call) {
  call.takes_bfloat16() ? backward_as<BFloat16>(with_tanh, call)
                        : backward_as<float>(with_tanh, call);
}

const bool registered =
    register_op<kTanh, forward>(
        {"Seq2seqDense", {"x: T", "kernel: float", "bias: float"}, {"y: T"}, {kMatrixType}}) &&
    register_op<kTanh, backward>({"Seq2seqDenseGradient",
                                  {"x: T", "kernel: float", "y: T", "d_y: T"},
                                  {"d_x: T", "d_kernel: float", "d_bias: float"},
                                  {kMatrixType}});

}  // namespace
}  // namespace seq2seq
