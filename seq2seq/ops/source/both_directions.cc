// The ops Seq2seq{Lstm,Gru}BothForward and Seq2seq{Lstm,Gru}BothBackward: a layer in each direction
// over the same input, from states of zeros, with half of the threads each.
//
// Shapes: x (batch, time, features), mask (batch, time) or empty, and of each direction: kernel
// (features, gates * units), recurrent (units, gates * units), biases (gates * units) or empty. h
// (batch, time, 2 * units) has both directions side by side, in the order of the input. All results
// are float32; but h is there once more as bfloat16 where x is, and so are the gradients of that and
// of x.
#include "elementwise.h"
#include "recurrence.h"
#include "shapes.h"

namespace seq2seq {
namespace {

struct Sizes {
  int64_t batch, time, features, units;
  const bool* mask;

  Sizes(const Tensor& x, const Tensor& mask, const Tensor& recurrent)
      : mask(mask.data_if_any<bool>()) {
    expect("x", x, {kAny, kAny, kAny});
    expect("recurrent", recurrent, {kAny, kAny});
    batch = x.dim(0), time = x.dim(1), features = x.dim(2), units = recurrent.dim(0);
    expect_or_none("mask", mask, {batch, time});
  }
  // Checks the weights of a direction.
  void expect_weights(int64_t width, const Tensor& kernel, const Tensor& recurrent) const {
    expect("kernel", kernel, {features, width});
    expect("recurrent", recurrent, {units, width});
  }
  Shape shape(int direction) const { return {batch, time, features, units, direction == 1, mask}; }
};

// The states before the first step.
std::vector<float> zeros(const Sizes& sizes) {
  return std::vector<float>(sizes.batch * sizes.units);
}

History history_of(const Sizes& sizes, int direction, const std::vector<float>& before, float* h,
                   float* second, float* gates, BFloat16* rounded_h = nullptr) {
  const int64_t first = direction * sizes.units;
  return {before.data(), before.data(), h + first, second, gates, 2 * sizes.units, true,
          rounded_h ? rounded_h + first : nullptr};
}

template <typename Cell>
void forward(bool, const Call& call) {
  constexpr int kInputs = 4, kOutputs = 4;  // of a direction
  const Tensor x = call.input(0), mask = call.input(1);
  const Sizes sizes(x, mask, call.input(3));
  const int64_t batch = sizes.batch, time = sizes.time, units = sizes.units;
  const Tensor h = call.output(0, {batch, time, 2 * units});
  std::vector<Tensor> weights, outputs;
  for (int d = 0; d < 2; ++d) {
    for (int i = 0; i < kInputs; ++i) weights.push_back(call.input(2 + d * kInputs + i));
    const Tensor* of = &weights[d * kInputs];
    sizes.expect_weights(Cell::kGates * units, of[0], of[1]);
    expect_or_none("bias", of[2], {Cell::kGates * units});
    expect_or_none("recurrent_bias", of[3], {Cell::kGates * units});
    const int first = 1 + d * kOutputs;
    outputs.push_back(call.output(first, {batch, time, units}));
    outputs.push_back(call.output(first + 1, {batch, time, Cell::kGates * units}));
    outputs.push_back(call.output(first + 2, {batch, units}));
    outputs.push_back(call.output(first + 3, {batch, units}));
  }
  const Tensor rounded_h =
      call.output(1 + 2 * kOutputs, {call.takes_bfloat16() ? batch : 0, time, 2 * units});
  const std::vector<float> before = zeros(sizes);
  const auto run = [&](auto type) {
    using T = decltype(type);
    run_side_by_side([&](int d, Threads& half) {
      const Tensor *in = &weights[d * kInputs], *out = &outputs[d * kOutputs];
      const Shape s = sizes.shape(d);
      const History history = history_of(sizes, d, before, h.data<float>(), out[0].data<float>(),
                                         out[1].data<float>(), rounded_h.data_if_any<BFloat16>());
      run_forward<Cell>(half, s, x.data<T>(), in[0].data<float>(), in[1].data<float>(),
                        in[2].data_if_any<float>(), in[3].data_if_any<float>(), history);
      last_states(s, history, out[2].data<float>(), out[3].data<float>());
    });
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

template <typename Cell>
void backward(bool, const Call& call) {
  constexpr int kInputs = 5, kOutputs = 5;  // of a direction
  const Tensor x = call.input(0), mask = call.input(1), h = call.input(2), d_h = call.input(3);
  const Sizes sizes(x, mask, call.input(5));
  const int64_t batch = sizes.batch, time = sizes.time, units = sizes.units;
  const int64_t width = Cell::kGates * units;
  expect("h", h, {batch, time, 2 * units});
  expect_or_none("d_h", d_h, {batch, time, 2 * units});
  const Tensor d_x = call.output(0, {batch, time, sizes.features});
  std::vector<Tensor> given, outputs;
  std::vector<float*> gates;
  for (int d = 0; d < 2; ++d) {
    const int in = 4 + d * (kInputs + 1), out = 1 + d * kOutputs;
    for (int i = 0; i < kInputs; ++i) given.push_back(call.input(in + i));
    const Tensor* of = &given[d * kInputs];
    sizes.expect_weights(width, of[0], of[1]);
    expect("second", of[2], {batch, time, units});
    expect("d_last_h", of[3], {batch, units});
    expect("d_last_second", of[4], {batch, units});
    expect("gates", call.input(in + kInputs), {batch, time, width});
    gates.push_back(const_cast<float*>(call.input_data<float>(in + kInputs)));  // read, then written
    outputs.push_back(call.output(out, {sizes.features, width}));
    outputs.push_back(call.output(out + 1, {units, width}));
    outputs.push_back(call.output(out + 2, {width}));
    outputs.push_back(call.output(out + 3, {width}));
    outputs.push_back(call.output(out + 4, {batch, time, width}, in + kInputs));
  }
  const std::vector<float> before = zeros(sizes);
  const auto history = [&](int d) {
    return history_of(sizes, d, before, h.data<float>(), given[d * kInputs + 2].data<float>(),
                      gates[d]);
  };
  const auto run = [&](auto type) {
    using T = decltype(type);
    run_side_by_side([&](int d, Threads& half) {
      const Tensor *in = &given[d * kInputs], *out = &outputs[d * kOutputs];
      std::vector<float> d_last_h(in[3].data<float>(), in[3].data<float>() + in[3].size());
      std::vector<float> d_last(in[4].data<float>(), in[4].data<float>() + in[4].size());
      const Buffer products(Cell::kTwoInputs ? batch * time * width : 0);
      float* const d_gates = out[4].data<float>();
      float* const d_products = Cell::kTwoInputs ? products.data() : d_gates;
      const T* d_sequence = d_h.size() ? d_h.data<T>() + d * units : nullptr;
      run_backward<Cell, T>(half, sizes.shape(d), in[1].data<float>(), history(d), d_sequence,
                            d_last_h.data(), d_last.data(), d_gates, d_products);
      weight_gradients<Cell>(half, sizes.shape(d), x.data<T>(), history(d), d_gates, d_products,
                             {out[0].data<float>(), out[1].data<float>(), out[2].data<float>(),
                              out[3].data<float>()});
    });
    const Rounding<T> result(d_x.data<T>(), d_x.size());
    for (int d = 0; d < 2; ++d) {
      input_gradient<Cell, T>(threads(), sizes.shape(d), given[d * kInputs].data<float>(),
                              history(d), outputs[d * kOutputs + 4].data<float>(), result.data(),
                              d == 1);
    }
    result.finish(threads());
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

template <typename Cell>
bool register_ops(const char* forward_name, const char* backward_name) {
  return register_op<kNoFlag, forward<Cell>>(
             {forward_name,
              {"x: T", "mask: bool",
               "kernel: float", "recurrent: float", "bias: float", "recurrent_bias: float",
               "back_kernel: float", "back_recurrent: float", "back_bias: float",
               "back_recurrent_bias: float"},
              {"h: float",
               "second: float", "gates: float", "last_h: float", "last_second: float",
               "back_second: float", "back_gates: float", "back_last_h: float",
               "back_last_second: float", "rounded_h: T"},
              {kMatrixType}}) &&
         register_op<kNoFlag, backward<Cell>>(
             {backward_name,
              {"x: T", "mask: bool", "h: float", "d_h: T",
               "kernel: float", "recurrent: float", "second: float", "d_last_h: float",
               "d_last_second: float", "gates: float",
               "back_kernel: float", "back_recurrent: float", "back_second: float",
               "back_d_last_h: float", "back_d_last_second: float", "back_gates: float"},
              {"d_x: T",
               "d_kernel: float", "d_recurrent: float", "d_bias: float",
               "d_recurrent_bias: float", "d_gates: float",
               "back_d_kernel: float", "back_d_recurrent: float", "back_d_bias: float",
               "back_d_recurrent_bias: float", "back_d_gates: float"},
              {kMatrixType}});
}

const bool registered = register_ops<Lstm>("Seq2seqLstmBothForward", "Seq2seqLstmBothBackward") &&
                        register_ops<Gru>("Seq2seqGruBothForward", "Seq2seqGruBothBackward");

}  // namespace
}  // namespace seq2seq
