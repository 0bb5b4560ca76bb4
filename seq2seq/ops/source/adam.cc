// The op Seq2seqAdam: a variable and its moments after a step (Kingma & Ba, 2015,
// https://arxiv.org/abs/1412.6980), each read once and written once.
//
// Shapes: numbers (5): step size, beta_1, beta_2, epsilon, and what the gradient is multiplied with;
// variable, m and v of one shape. The gradient is of that shape, too, and slots are empty; or it has
// some of the rows, and slots (rows) say which one is that of a row of the variable, -1 where none.
#include <algorithm>
#include <stdexcept>

#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kFloatsInTurn = 1 << 15;
constexpr int64_t kStreamed = 1 << 18;  // from this size on nothing would stay in a cache anyway

struct Numbers {
  float rate, beta_1, beta_2, epsilon, scale;
};

struct Values {
  float *variable, *m, *v;
};

struct Step {
  Numbers numbers;
  Values from, to;
  bool streams;

  void write(float* to, Vector values, int count) const {
    streams ? stream(to, values, count) : store(to, values, count);
  }

  // Updates `size` values from `begin` on; a null gradient is zeros.
  void update(int64_t begin, int64_t size, const float* gradient) const {
    const Numbers& n = numbers;
    each_vector(size, [&](int64_t i, int count) {
      const int64_t at = begin + i;
      const Vector g = (gradient ? load(gradient + i, count) : Vector{}) * n.scale;
      Vector m = load(from.m + at, count), v = load(from.v + at, count);
      m += (g - m) * (1 - n.beta_1);
      v += (g * g - v) * (1 - n.beta_2);
      write(to.m + at, m, count);
      write(to.v + at, v, count);
      write(to.variable + at,
            load(from.variable + at, count) - n.rate * m / (root(v) + n.epsilon), count);
    });
  }
};

// Checks that a gradient is as its variable, or has rows for the slots of the variable's rows.
void expect_gradient(const Tensor& variable, const Tensor& gradient, const Tensor& slots) {
  if (is_none(slots, 1)) return expect("gradient", gradient, variable.dims());
  if (variable.dims().empty()) throw std::invalid_argument("slots: the variable has no rows");
  const int64_t rows = variable.dim(0);
  expect("slots", slots, {rows});
  expect("gradient", gradient, {kAny, variable.size() / rows});
  const int32_t* slot = slots.data<int32_t>();
  const int64_t count = gradient.dim(0);
  if (std::any_of(slot, slot + rows, [&](int32_t row) { return row >= count; })) {
    throw std::invalid_argument("slots: one is not of the gradient's rows");
  }
}

void adam(bool, const Call& call) {
  const Tensor numbers = call.input(0), variable = call.input(1), m = call.input(2),
               v = call.input(3), gradient = call.input(4), slots = call.input(5);
  expect("numbers", numbers, {5});
  expect("m", m, variable.dims());
  expect("v", v, variable.dims());
  expect_gradient(variable, gradient, slots);
  const float* n = numbers.data<float>();
  const Tensor outputs[] = {call.output(0, variable.dims()), call.output(1, variable.dims()),
                            call.output(2, variable.dims())};
  const Step step{{n[0], n[1], n[2], n[3], n[4]},
                  {variable.data<float>(), m.data<float>(), v.data<float>()},
                  {outputs[0].data<float>(), outputs[1].data<float>(), outputs[2].data<float>()},
                  variable.size() >= kStreamed};
  const float* d = gradient.data<float>();
  const int64_t rows = slots.size(), size = variable.size();
  const int64_t width = rows ? size / rows : kLanes;  // where there are no rows, cut into vectors
  const Pieces pieces(rows ? rows : (size + kLanes - 1) / kLanes,
                      std::max<int64_t>(1, kFloatsInTurn / std::max<int64_t>(1, width)));
  const Threads::Turn turn(threads());
  threads().run(pieces.count, [&](int64_t p) {
    const int64_t begin = pieces.begin(p), end = pieces.begin(p + 1);
    if (rows == 0) {
      step.update(begin * width, std::min(end * width, size) - begin * width, d + begin * width);
    }
    for (int64_t row = begin; rows && row < end; ++row) {
      const int32_t slot = slots.data<int32_t>()[row];
      step.update(row * width, width, slot < 0 ? nullptr : d + slot * width);
    }
    finish_streams();
  });
}

const bool registered = register_op<kNoFlag, adam>(
    {"Seq2seqAdam",
     {"numbers: float", "variable: float", "m: float", "v: float", "gradient: float",
      "slots: int32"},
     {"new_variable: float", "new_m: float", "new_v: float"},
     {}});

}  // namespace
}  // namespace seq2seq
