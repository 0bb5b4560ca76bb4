// The ops Seq2seq{Lstm,Gru}Forward and Seq2seq{Lstm,Gru}Backward: a recurrent layer over a batch
// (recurrent_layer.h), and its gradients.
//
// Shapes: x (batch, time, features), kernel (features, gates * units), recurrent (units, gates *
// units), biases (gates * units) or empty, states (batch, units), mask (batch, time) or empty;
// states and mask may have one row for all. All results are float32; if x is bfloat16, h is also
// returned as bfloat16 (rounded_h), and the gradients of that and of x are bfloat16. Where they are
// small, each half of the threads runs half of the batch:
//
//   weights in the L2 cache:  rows 0 to batch / 2 | rows batch / 2 to batch    no waiting in steps
//   larger weights:           blocks of units, all rows                        recurrent_layer.h
#include <algorithm>

#include "elementwise.h"
#include "recurrent_layer.h"
#include "shape_checks.h"

namespace seq2seq {
namespace {

constexpr char kGoBackwards[] = "go_backwards";

struct ForwardInputs {
  static constexpr const char* kSpecs[] = {"x: T",
                                           "kernel: float",
                                           "recurrent: float",
                                           "bias: float",
                                           "recurrent_bias: float",
                                           "h_before: float",
                                           "second_before: float",
                                           "mask: bool"};
  Tensor x, kernel, recurrent, bias, recurrent_bias, initial_h, initial_second, mask;
};
struct ForwardOutputs {
  static constexpr const char* kSpecs[] = {"h: float",      "second: float",      "gates: float",
                                           "last_h: float", "last_second: float", "rounded_h: T"};
  Output h, second, gates, last_h, last_second, rounded_h;
};
struct BackwardInputs {
  static constexpr const char* kSpecs[] = {"x: T",
                                           "kernel: float",
                                           "recurrent: float",
                                           "h_before: float",
                                           "second_before: float",
                                           "mask: bool",
                                           "h: float",
                                           "second: float",
                                           "gates: float",
                                           "d_sequence: T",
                                           "d_last_h: float",
                                           "d_last_second: float"};
  Tensor x, kernel, recurrent, initial_h, initial_second, mask, h, second;
  ReusableInput gates;
  Tensor d_sequence, d_last_h, d_last_second;
};
struct BackwardOutputs {
  static constexpr const char* kSpecs[] = {
      "d_x: T",          "d_kernel: float",         "d_recurrent: float",
      "d_bias: float",   "d_recurrent_bias: float", "d_h: float",
      "d_second: float", "d_gates: float",          "d_products: float"};
  Output d_x, d_kernel, d_recurrent, d_bias, d_recurrent_bias, d_initial_h, d_initial_second,
      d_gates, d_products;
};

// The inputs of both passes, checked, with states and a mask for each row of x.
template <typename Cell>
struct CheckedInputs {
  LayerShape shape;
  RepeatedRows<float> initial_h, initial_second;
  RepeatedRows<bool> mask;

  template <typename Inputs>
  CheckedInputs(const Inputs& in, bool backwards)
      : shape(checked_shape(in)),
        initial_h(in.initial_h, shape.batch),
        initial_second(in.initial_second, shape.batch),
        mask(in.mask, shape.batch) {
    shape.backwards = backwards;
    shape.mask = mask.data();
  }

 private:
  template <typename Inputs>
  static LayerShape checked_shape(const Inputs& in) {
    expect_shape("x", in.x, {kAny, kAny, kAny});
    expect_shape("recurrent", in.recurrent, {kAny, kAny});
    const int64_t batch = in.x.dim(0), time = in.x.dim(1), features = in.x.dim(2),
                  units = in.recurrent.dim(0);
    expect_shape("recurrent", in.recurrent, {units, Cell::kGates * units});
    expect_shape("kernel", in.kernel, {features, Cell::kGates * units});
    expect_rows_or_one("h_before", in.initial_h, {batch, units});
    expect_rows_or_one("second_before", in.initial_second, {batch, units});
    if (!is_empty(in.mask, 2)) expect_rows_or_one("mask", in.mask, {batch, time});
    return {batch, time, features, units, false, nullptr};
  }
};

// The gradient of initial states, from the one of each row: the sum if all rows share one.
void sum_state_gradients(const float* of_rows, int64_t rows, const Tensor& d_states) {
  const int64_t width = d_states.dim(1);
  float* to = d_states.data<float>();
  if (d_states.dim(0) == rows) {
    std::memcpy(to, of_rows, rows * width * sizeof(float));
    return;
  }
  std::fill(to, to + width, 0.f);
  for (int64_t i = 0; i < rows * width; ++i) to[i % width] += of_rows[i];
}

constexpr int64_t kMaxCachedWeights = 320 * 1024;  // 1.25 MiB: they stay in the L2 cache

// Calls `body` with a slice of the batch, the first of its rows, and threads: with two slices side
// by side where each thread can keep all of the recurrent weights in its cache.
template <typename Cell, typename Body>
void parallel_over_batch(const LayerShape& s, const Body& body) {
  const Partition halves(s.batch, std::max<int64_t>(1, (s.batch + 1) / 2));
  if (halves.count < 2 || Cell::kGates * s.units * s.units > kMaxCachedWeights) {
    return body(s, 0, thread_pool());
  }
  run_on_halves([&](int half, ThreadPool& pool) {
    body(s.batch_slice(halves.begin(half), halves.length(half)), halves.begin(half), pool);
  });
}

template <typename Cell>
void forward(const ForwardInputs& in, const ForwardOutputs& out, bool backwards) {
  const CheckedInputs<Cell> checked(in, backwards);
  const LayerShape& s = checked.shape;
  expect_shape_or_empty("bias", in.bias, {Cell::kGates * s.units});
  expect_shape_or_empty("recurrent_bias", in.recurrent_bias, {Cell::kGates * s.units});
  const Tensor h = out.h.allocate({s.batch, s.time, s.units});
  const Tensor second = out.second.allocate({s.batch, s.time, s.units});
  const Tensor gates = out.gates.allocate({s.batch, s.time, Cell::kGates * s.units});
  const Tensor last_h = out.last_h.allocate({s.batch, s.units});
  const Tensor last_second = out.last_second.allocate({s.batch, s.units});
  const Tensor rounded_h =
      out.rounded_h.allocate({in.x.is_bfloat16() ? s.batch : 0, s.time, s.units});
  const Activations activations{checked.initial_h.data(),
                                checked.initial_second.data(),
                                h.data<float>(),
                                second.data<float>(),
                                gates.data<float>(),
                                s.units,
                                false,
                                rounded_h.data_or_null<BFloat16>()};
  const LayerWeights weights{in.kernel.data<float>(), in.recurrent.data<float>(),
                             in.bias.data_or_null<float>(),
                             in.recurrent_bias.data_or_null<float>()};
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    parallel_over_batch<Cell>(s, [&](const LayerShape& slice, int64_t row, ThreadPool& pool) {
      run_forward<Cell>(pool, slice, in.x.data<T>() + s.position(row, 0) * s.features, weights,
                        activations.batch_slice(s, row, Cell::kGates));
    });
  });
  copy_last_states(s, activations, last_h.data<float>(), last_second.data<float>());
}

template <typename Cell>
void check_gradients(const BackwardInputs& in, const LayerShape& s) {
  expect_shape("h", in.h, {s.batch, s.time, s.units});
  expect_shape("second", in.second, {s.batch, s.time, s.units});
  expect_shape("gates", in.gates, {s.batch, s.time, Cell::kGates * s.units});
  expect_shape_or_empty("d_sequence", in.d_sequence, {s.batch, s.time, s.units});
  expect_shape("d_last_h", in.d_last_h, {s.batch, s.units});
  expect_shape("d_last_second", in.d_last_second, {s.batch, s.units});
}

template <typename Cell>
void backward(const BackwardInputs& in, const BackwardOutputs& out, bool backwards) {
  const CheckedInputs<Cell> checked(in, backwards);
  const LayerShape& s = checked.shape;
  check_gradients<Cell>(in, s);
  const int64_t width = Cell::kGates * s.units;
  const Tensor d_x = out.d_x.allocate({s.batch, s.time, s.features});
  const Tensor d_kernel = out.d_kernel.allocate({s.features, width});
  const Tensor d_recurrent = out.d_recurrent.allocate({s.units, width});
  const Tensor d_bias = out.d_bias.allocate({width});
  const Tensor d_recurrent_bias = out.d_recurrent_bias.allocate({width});
  const Tensor d_initial_h = out.d_initial_h.allocate(in.initial_h.dims());
  const Tensor d_initial_second = out.d_initial_second.allocate(in.initial_second.dims());
  // Each step's gates are read before their gradients are written.
  const Tensor d_gates = out.d_gates.allocate({s.batch, s.time, width}, in.gates);
  const Tensor d_products =
      out.d_products.allocate({Cell::kSeparateRecurrentGradient ? s.batch : 0, s.time, width});
  float* products =
      (Cell::kSeparateRecurrentGradient ? d_products : d_gates).template data<float>();
  const int64_t states = s.batch * s.units;
  const Buffer d_h(states), d_second(states);
  std::memcpy(d_h.data(), in.d_last_h.data<float>(), states * sizeof(float));
  std::memcpy(d_second.data(), in.d_last_second.data<float>(), states * sizeof(float));
  const Activations activations{checked.initial_h.data(), checked.initial_second.data(),
                                in.h.data<float>(),       in.second.data<float>(),
                                in.gates.data<float>(),   s.units};
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    parallel_over_batch<Cell>(s, [&](const LayerShape& slice, int64_t row, ThreadPool& pool) {
      const int64_t step = s.position(row, 0), state = row * s.units;
      const T* d = in.d_sequence.data_or_null<T>();
      run_backward<Cell, T>(
          pool, slice, in.recurrent.data<float>(), activations.batch_slice(s, row, Cell::kGates),
          {d ? d + step * s.units : d, d_h.data() + state, d_second.data() + state,
           d_gates.data<float>() + step * width, products + step * width});
    });
    weight_gradients<Cell>(thread_pool(), s, in.x.data<T>(), activations, d_gates.data<float>(),
                           products,
                           {d_kernel.data<float>(), d_recurrent.data<float>(), d_bias.data<float>(),
                            d_recurrent_bias.data<float>()});
    const OutputConverter<T> converter(d_x.data<T>(), d_x.size());
    input_gradient<Cell, T>(thread_pool(), s, in.kernel.data<float>(), activations,
                            d_gates.data<float>(), converter.data());
    converter.finish(thread_pool());
  });
  sum_state_gradients(d_h.data(), s.batch, d_initial_h);
  sum_state_gradients(d_second.data(), s.batch, d_initial_second);
}

const bool registered =
    register_op<forward<Lstm>, kGoBackwards>("Seq2seqLstmForward", {kMatrixTypes}) &&
    register_op<backward<Lstm>, kGoBackwards>("Seq2seqLstmBackward", {kMatrixTypes}) &&
    register_op<forward<Gru>, kGoBackwards>("Seq2seqGruForward", {kMatrixTypes}) &&
    register_op<backward<Gru>, kGoBackwards>("Seq2seqGruBackward", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
