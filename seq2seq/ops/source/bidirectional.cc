// The ops Seq2seq{Lstm,Gru}BothForward and Seq2seq{Lstm,Gru}BothBackward: a recurrent layer in each
// direction over the same input, from zero states (recurrent_layer.h), with half of the threads
// each.
//
// Shapes: x (batch, time, features), mask (batch, time) or empty, and of each direction: kernel
// (features, gates * units), recurrent (units, gates * units), biases (gates * units) or empty. All
// results are float32; if x is bfloat16, h is also returned as bfloat16 (rounded_h), and the
// gradients of that and of x are bfloat16. h (batch, time, 2 * units) is in the order of the input:
//
//   h(b, t, :) = [ forward direction after steps 0..t | back direction after steps time-1..t ]
#include "elementwise.h"
#include "recurrent_layer.h"
#include "shape_checks.h"

namespace seq2seq {
namespace {

struct DirectionWeights {
  Tensor kernel, recurrent, bias, recurrent_bias;
};
struct DirectionActivations {
  Output second, gates, last_h, last_second;
};
struct ForwardInputs {
  static constexpr const char* kSpecs[] = {"x: T",
                                           "mask: bool",
                                           "kernel: float",
                                           "recurrent: float",
                                           "bias: float",
                                           "recurrent_bias: float",
                                           "back_kernel: float",
                                           "back_recurrent: float",
                                           "back_bias: float",
                                           "back_recurrent_bias: float"};
  Tensor x, mask;
  DirectionWeights directions[2];
};
struct ForwardOutputs {
  static constexpr const char* kSpecs[] = {
      "h: float",          "second: float",      "gates: float",
      "last_h: float",     "last_second: float", "back_second: float",
      "back_gates: float", "back_last_h: float", "back_last_second: float",
      "rounded_h: T"};
  Output h;
  DirectionActivations directions[2];
  Output rounded_h;
};

struct DirectionGradients {
  Tensor kernel, recurrent, second, d_last_h, d_last_second;
  ReusableInput gates;
};
struct DirectionWeightGradients {
  Output d_kernel, d_recurrent, d_bias, d_recurrent_bias, d_gates;
};
struct BackwardInputs {
  static constexpr const char* kSpecs[] = {"x: T",
                                           "mask: bool",
                                           "h: float",
                                           "d_h: T",
                                           "kernel: float",
                                           "recurrent: float",
                                           "second: float",
                                           "d_last_h: float",
                                           "d_last_second: float",
                                           "gates: float",
                                           "back_kernel: float",
                                           "back_recurrent: float",
                                           "back_second: float",
                                           "back_d_last_h: float",
                                           "back_d_last_second: float",
                                           "back_gates: float"};
  Tensor x, mask, h, d_h;
  DirectionGradients directions[2];
};
struct BackwardOutputs {
  static constexpr const char* kSpecs[] = {"d_x: T",
                                           "d_kernel: float",
                                           "d_recurrent: float",
                                           "d_bias: float",
                                           "d_recurrent_bias: float",
                                           "d_gates: float",
                                           "back_d_kernel: float",
                                           "back_d_recurrent: float",
                                           "back_d_bias: float",
                                           "back_d_recurrent_bias: float",
                                           "back_d_gates: float"};
  Output d_x;
  DirectionWeightGradients directions[2];
};

// The shape of both directions' layers, checked, but for the direction.
template <typename Cell, typename Inputs>
LayerShape checked_shape(const Inputs& in) {
  const Tensor& recurrent = in.directions[0].recurrent;
  expect_shape("x", in.x, {kAny, kAny, kAny});
  expect_shape("recurrent", recurrent, {kAny, kAny});
  const int64_t batch = in.x.dim(0), time = in.x.dim(1), features = in.x.dim(2),
                units = recurrent.dim(0), width = Cell::kGates * units;
  expect_shape_or_empty("mask", in.mask, {batch, time});
  for (const auto& direction : in.directions) {
    expect_shape("kernel", direction.kernel, {features, width});
    expect_shape("recurrent", direction.recurrent, {units, width});
  }
  return {batch, time, features, units, false, in.mask.template data_or_null<bool>()};
}

LayerShape with_direction(LayerShape shape, int direction) {
  shape.backwards = direction == 1;
  return shape;
}

// A direction's activations; its h is one half of the last axis.
Activations activations_of(const LayerShape& s, int direction, const std::vector<float>& zeros,
                           float* h, float* second, float* gates, BFloat16* rounded_h = nullptr) {
  const int64_t first = direction * s.units;
  return {zeros.data(), zeros.data(), h + first, second,
          gates,        2 * s.units,  true,      rounded_h ? rounded_h + first : nullptr};
}

// The allocated outputs of a direction.
struct ForwardTensors {
  Tensor second, gates, last_h, last_second;
  ForwardTensors(const DirectionActivations& out, const LayerShape& s, int64_t width)
      : second(out.second.allocate({s.batch, s.time, s.units})),
        gates(out.gates.allocate({s.batch, s.time, width})),
        last_h(out.last_h.allocate({s.batch, s.units})),
        last_second(out.last_second.allocate({s.batch, s.units})) {}
};

template <typename Cell>
void forward(const ForwardInputs& in, const ForwardOutputs& out) {
  const LayerShape shape = checked_shape<Cell>(in);
  const int64_t batch = shape.batch, time = shape.time, units = shape.units;
  const int64_t width = Cell::kGates * units;
  for (const DirectionWeights& weights : in.directions) {
    expect_shape_or_empty("bias", weights.bias, {width});
    expect_shape_or_empty("recurrent_bias", weights.recurrent_bias, {width});
  }
  const Tensor h = out.h.allocate({batch, time, 2 * units});
  const ForwardTensors tensors[2] = {{out.directions[0], shape, width},
                                     {out.directions[1], shape, width}};
  const Tensor rounded_h =
      out.rounded_h.allocate({in.x.is_bfloat16() ? batch : 0, time, 2 * units});
  const std::vector<float> zeros(batch * units);
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    run_on_halves([&](int d, ThreadPool& pool) {
      const DirectionWeights& weights = in.directions[d];
      const ForwardTensors& to = tensors[d];
      const LayerShape s = with_direction(shape, d);
      const Activations activations =
          activations_of(s, d, zeros, h.data<float>(), to.second.data<float>(),
                         to.gates.data<float>(), rounded_h.data_or_null<BFloat16>());
      run_forward<Cell>(
          pool, s, in.x.data<T>(),
          {weights.kernel.data<float>(), weights.recurrent.data<float>(),
           weights.bias.data_or_null<float>(), weights.recurrent_bias.data_or_null<float>()},
          activations);
      copy_last_states(s, activations, to.last_h.data<float>(), to.last_second.data<float>());
    });
  });
}

// The allocated gradients of a direction; d_gates takes over the memory of the gates.
struct BackwardTensors {
  Tensor d_kernel, d_recurrent, d_bias, d_recurrent_bias, d_gates;
  BackwardTensors(const DirectionWeightGradients& out, const DirectionGradients& in,
                  const LayerShape& s, int64_t width)
      : d_kernel(out.d_kernel.allocate({s.features, width})),
        d_recurrent(out.d_recurrent.allocate({s.units, width})),
        d_bias(out.d_bias.allocate({width})),
        d_recurrent_bias(out.d_recurrent_bias.allocate({width})),
        d_gates(out.d_gates.allocate({s.batch, s.time, width}, in.gates)) {}
  WeightGradients weights() const {
    return {d_kernel.data<float>(), d_recurrent.data<float>(), d_bias.data<float>(),
            d_recurrent_bias.data<float>()};
  }
};

template <typename Cell>
void check_gradients(const BackwardInputs& in, const LayerShape& s) {
  expect_shape("h", in.h, {s.batch, s.time, 2 * s.units});
  expect_shape_or_empty("d_h", in.d_h, {s.batch, s.time, 2 * s.units});
  for (const DirectionGradients& direction : in.directions) {
    expect_shape("second", direction.second, {s.batch, s.time, s.units});
    expect_shape("d_last_h", direction.d_last_h, {s.batch, s.units});
    expect_shape("d_last_second", direction.d_last_second, {s.batch, s.units});
    expect_shape("gates", direction.gates, {s.batch, s.time, Cell::kGates * s.units});
  }
}

std::vector<float> copy_of(const Tensor& tensor) {
  return std::vector<float>(tensor.data<float>(), tensor.data<float>() + tensor.size());
}

template <typename Cell>
void backward(const BackwardInputs& in, const BackwardOutputs& out) {
  const LayerShape shape = checked_shape<Cell>(in);
  check_gradients<Cell>(in, shape);
  const int64_t width = Cell::kGates * shape.units;
  const Tensor d_x = out.d_x.allocate({shape.batch, shape.time, shape.features});
  const BackwardTensors tensors[2] = {{out.directions[0], in.directions[0], shape, width},
                                      {out.directions[1], in.directions[1], shape, width}};
  const std::vector<float> zeros(shape.batch * shape.units);
  const auto activations = [&](int d) {
    return activations_of(shape, d, zeros, in.h.data<float>(),
                          in.directions[d].second.data<float>(),
                          in.directions[d].gates.data<float>());
  };
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    run_on_halves([&](int d, ThreadPool& pool) {
      const DirectionGradients& from = in.directions[d];
      const LayerShape s = with_direction(shape, d);
      std::vector<float> d_h = copy_of(from.d_last_h), d_second = copy_of(from.d_last_second);
      constexpr bool kSeparate = Cell::kSeparateRecurrentGradient;
      const Buffer products(kSeparate ? s.batch * s.time * width : 0);
      float* const d_gates = tensors[d].d_gates.template data<float>();
      float* const d_recurrent = kSeparate ? products.data() : d_gates;
      const T* d_sequence = in.d_h.size() ? in.d_h.data<T>() + d * s.units : nullptr;
      run_backward<Cell, T>(pool, s, from.recurrent.template data<float>(), activations(d),
                            {d_sequence, d_h.data(), d_second.data(), d_gates, d_recurrent});
      weight_gradients<Cell>(pool, s, in.x.data<T>(), activations(d), d_gates, d_recurrent,
                             tensors[d].weights());
    });
    const OutputConverter<T> converter(d_x.data<T>(), d_x.size());
    for (int d = 0; d < 2; ++d) {
      input_gradient<Cell, T>(thread_pool(), with_direction(shape, d),
                              in.directions[d].kernel.template data<float>(), activations(d),
                              tensors[d].d_gates.template data<float>(), converter.data(), d == 1);
    }
    converter.finish(thread_pool());
  });
}

const bool registered = register_op<forward<Lstm>>("Seq2seqLstmBothForward", {kMatrixTypes}) &&
                        register_op<backward<Lstm>>("Seq2seqLstmBothBackward", {kMatrixTypes}) &&
                        register_op<forward<Gru>>("Seq2seqGruBothForward", {kMatrixTypes}) &&
                        register_op<backward<Gru>>("Seq2seqGruBothBackward", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
