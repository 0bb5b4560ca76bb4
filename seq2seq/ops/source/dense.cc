// The ops Seq2seqDense and Seq2seqDenseGradient: a dense layer on all rows, and its gradients.
//
//   y = x W + b, or the tanh of it       d_a = d_y, or d_y * (1 - y^2)
//   d_x = d_a W^T    d_W = x^T d_a       d_b = the sum of d_a's rows
//
// Shapes: x (rows, inputs), kernel W (inputs, outputs), bias b (outputs), y (rows, outputs).
// Gradients of weights are float32; y may be empty for the gradient without tanh. The products are
// those of gemm.h.
#include "elementwise.h"
#include "gemm.h"
#include "shape_checks.h"
#include "simd_math.h"

namespace seq2seq {
namespace {

constexpr char kTanh[] = "tanh";

struct ForwardInputs {
  static constexpr const char* kSpecs[] = {"x: T", "kernel: float", "bias: float"};
  Tensor x, kernel, bias;
};
struct ForwardOutputs {
  static constexpr const char* kSpecs[] = {"y: T"};
  Output y;
};
struct BackwardInputs {
  static constexpr const char* kSpecs[] = {"x: T", "kernel: float", "y: T", "d_y: T"};
  Tensor x, kernel, y, d_y;
};
struct BackwardOutputs {
  static constexpr const char* kSpecs[] = {"d_x: T", "d_kernel: float", "d_bias: float"};
  Output d_x, d_kernel, d_bias;
};

template <typename T>
void forward_as(const ForwardInputs& in, const ForwardOutputs& out, bool with_tanh) {
  expect_shape("x", in.x, {kAny, kAny});
  expect_shape("kernel", in.kernel, {in.x.dim(1), kAny});
  expect_shape("bias", in.bias, {in.kernel.dim(1)});
  const int64_t rows = in.x.dim(0), inputs = in.x.dim(1), outputs = in.kernel.dim(1);
  const Tensor y = out.y.allocate({rows, outputs});
  const ThreadPool::KernelScope scope(thread_pool());
  const OutputConverter<T> converter(y.data<T>(), y.size());
  gemm<PackedElement<T>>(thread_pool(), Operand<T>{{in.x.data<T>(), inputs}},
                         Operand<float>{{in.kernel.data<float>(), outputs}},
                         {converter.data(), outputs}, rows, inputs, outputs,
                         Epilogue::add_bias(in.bias.data<float>()));
  if (!with_tanh) return converter.finish(thread_pool());
  parallel_for_vectors(thread_pool(), y.size(), [&](int64_t i, int count) {
    store(y.data<T>() + i, tanh(load(converter.data() + i, count)), count);
  });
}

// Computes all gradients from d_a, whose elements are of type D.
template <typename T, typename D>
void differentiate(const BackwardInputs& in, const D* d_a, const Tensor& d_x,
                   const Tensor& d_kernel, const Tensor& d_bias) {
  const int64_t rows = in.x.dim(0), inputs = in.x.dim(1), outputs = in.kernel.dim(1);
  const MatrixView<const D> d{d_a, outputs};
  const OutputConverter<T> converter(d_x.data<T>(), d_x.size());
  gemm<PackedElement<T>>(thread_pool(), Operand<D>{d},
                         Operand<float>{{in.kernel.data<float>(), outputs}, true},
                         {converter.data(), inputs}, rows, outputs, inputs);
  converter.finish(thread_pool());
  gemm<PackedElement<T>>(thread_pool(), Operand<T>{{in.x.data<T>(), inputs}, true}, Operand<D>{d},
                         {d_kernel.data<float>(), outputs}, inputs, rows, outputs);
  sum_rows(thread_pool(), d, rows, outputs, d_bias.data<float>());
}

template <typename T>
void backward_as(const BackwardInputs& in, const BackwardOutputs& out, bool with_tanh) {
  expect_shape("x", in.x, {kAny, kAny});
  expect_shape("kernel", in.kernel, {in.x.dim(1), kAny});
  const int64_t rows = in.x.dim(0), inputs = in.x.dim(1), outputs = in.kernel.dim(1);
  with_tanh ? expect_shape("y", in.y, {rows, outputs})
            : expect_shape_or_empty("y", in.y, {rows, outputs});
  expect_shape("d_y", in.d_y, {rows, outputs});
  const Tensor d_x = out.d_x.allocate({rows, inputs});
  const Tensor d_kernel = out.d_kernel.allocate({inputs, outputs});
  const Tensor d_bias = out.d_bias.allocate({outputs});
  const ThreadPool::KernelScope scope(thread_pool());
  const T* d_y = in.d_y.data<T>();
  if (!with_tanh) return differentiate<T>(in, d_y, d_x, d_kernel, d_bias);
  const Buffer d_a(in.d_y.size());
  parallel_for_vectors(thread_pool(), in.d_y.size(), [&](int64_t i, int count) {
    const SimdFloat value = load(in.y.data<T>() + i, count), d = load(d_y + i, count);
    store(d_a.data() + i, d * (1.f - value * value), count);
  });
  differentiate<T>(in, d_a.data(), d_x, d_kernel, d_bias);
}

void forward(const ForwardInputs& in, const ForwardOutputs& out, bool with_tanh) {
  dispatch_type(in.x.is_bfloat16(),
                [&](auto type) { forward_as<decltype(type)>(in, out, with_tanh); });
}

void backward(const BackwardInputs& in, const BackwardOutputs& out, bool with_tanh) {
  dispatch_type(in.x.is_bfloat16(),
                [&](auto type) { backward_as<decltype(type)>(in, out, with_tanh); });
}

const bool registered = register_op<forward, kTanh>("Seq2seqDense", {kMatrixTypes}) &&
                        register_op<backward, kTanh>("Seq2seqDenseGradient", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
