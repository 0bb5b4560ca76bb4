// The ops Seq2seqDense and Seq2seqDenseGradient: x * kernel + bias on all rows, and back.
//
// Shapes: x (rows, inputs), kernel (inputs, outputs), bias (outputs), y (rows, outputs). All results
// are float32.
#include "product.h"
#include "tensor.h"

namespace seq2seq {
namespace {

void forward(bool, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), bias = call.input(2);
  const int64_t rows = x.dim(0), inputs = x.dim(1), outputs = kernel.dim(1);
  const Tensor y = call.output(0, {rows, outputs});
  const Threads::Turn turn(threads());
  const auto run = [&](auto type) {
    using T = decltype(type);
    multiply<WordsOf<T>>(threads(), Operand<T>{{x.data<T>(), inputs}},
                         Operand<float>{{kernel.data<float>(), outputs}},
                         {y.data<float>(), outputs}, rows, inputs, outputs,
                         Onto{false, bias.data<float>()});
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

void backward(bool, const Call& call) {
  const Tensor x = call.input(0), kernel = call.input(1), d_y = call.input(2);
  const int64_t rows = x.dim(0), inputs = x.dim(1), outputs = kernel.dim(1);
  const Tensor d_x = call.output(0, {rows, inputs});
  const Tensor d_kernel = call.output(1, {inputs, outputs});
  const Tensor d_bias = call.output(2, {outputs});
  const Matrix<const float> d{d_y.data<float>(), outputs};
  const Threads::Turn turn(threads());
  const auto run = [&](auto type) {
    using T = decltype(type);
    multiply<WordsOf<T>>(threads(), Operand<float>{d},
                         Operand<float>{{kernel.data<float>(), outputs}, true},
                         {d_x.data<float>(), inputs}, rows, outputs, inputs);
    multiply<WordsOf<T>>(threads(), Operand<T>{{x.data<T>(), inputs}, true}, Operand<float>{d},
                         {d_kernel.data<float>(), outputs}, inputs, rows, outputs);
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
  sum_rows(threads(), d, rows, outputs, d_bias.data<float>());
}

const bool registered =
    register_op<kNoFlag, forward>(
        {"Seq2seqDense", {"x: T", "kernel: float", "bias: float"}, {"y: float"}, {kMatrixType}}) &&
    register_op<kNoFlag, backward>({"Seq2seqDenseGradient",
                                    {"x: T", "kernel: float", "d_y: float"},
                                    {"d_x: float", "d_kernel: float", "d_bias: float"},
                                    {kMatrixType}});

}  // namespace
}  // namespace seq2seq
