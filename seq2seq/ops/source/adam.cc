// The op Seq2seqAdam: a variable and its moments after a step of Adam (Kingma & Ba, 2015,
// https://arxiv.org/abs/1412.6980), each read once and written once.
//
//   g = gradient * gradient_scale
//   m += (g - m) * (1 - beta_1)       v += (g^2 - v) * (1 - beta_2)
//   variable -= step_size * m / (sqrt(v) + epsilon)
//
// Shapes: numbers (5): step_size, beta_1, beta_2, epsilon, gradient_scale; variable, m and v of one
// shape. The gradient is of that shape, too, and slots are empty; or it has some of the rows, and
// slots (rows) say which of its rows is that of a row of the variable, -1 for none: a gradient of
// 0.
#include <algorithm>
#include <stdexcept>

#include "partition.h"
#include "shape_checks.h"
#include "simd_math.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kFloatsPerTask = 1 << 15;
constexpr int64_t kMinStreamedSize = 1 << 18;  // larger variables do not stay in a cache

struct AdamInputs {
  static constexpr const char* kSpecs[] = {"numbers: float", "variable: float", "m: float",
                                           "v: float",       "gradient: float", "slots: int32"};
  Tensor numbers, variable, m, v, gradient, slots;
};
struct AdamOutputs {
  static constexpr const char* kSpecs[] = {"new_variable: float", "new_m: float", "new_v: float"};
  Output variable, m, v;
};

struct Numbers {
  float step_size, beta_1, beta_2, epsilon, gradient_scale;
};

struct State {
  float *variable, *m, *v;
};

struct Step {
  Numbers numbers;
  State from, to;
  bool streams;

  void write(float* to, SimdFloat values, int count) const {
    streams ? stream(to, values, count) : store(to, values, count);
  }

  // Updates `size` values from `begin` on; a null gradient is 0.
  void update(int64_t begin, int64_t size, const float* gradient) const {
    const Numbers& n = numbers;
    for_each_vector(size, [&](int64_t i, int count) {
      const int64_t at = begin + i;
      const SimdFloat g = (gradient ? load(gradient + i, count) : SimdFloat{}) * n.gradient_scale;
      SimdFloat m = load(from.m + at, count), v = load(from.v + at, count);
      m += (g - m) * (1 - n.beta_1);
      v += (g * g - v) * (1 - n.beta_2);
      write(to.m + at, m, count);
      write(to.v + at, v, count);
      write(to.variable + at,
            load(from.variable + at, count) - n.step_size * m / (sqrt(v) + n.epsilon), count);
    });
  }
};

void check_shapes(const AdamInputs& in) {
  const Dims dims = in.variable.dims();
  expect_shape("numbers", in.numbers, {5});
  expect_shape("m", in.m, dims);
  expect_shape("v", in.v, dims);
  if (is_empty(in.slots, 1)) return expect_shape("gradient", in.gradient, dims);
  if (dims.empty()) throw std::invalid_argument("slots: the variable has no rows");
  const int64_t rows = dims[0];
  expect_shape("slots", in.slots, {rows});
  expect_shape("gradient", in.gradient, {kAny, in.variable.size() / rows});
  const int32_t* slots = in.slots.data<int32_t>();
  const int64_t rows_of_gradient = in.gradient.dim(0);
  if (std::any_of(slots, slots + rows, [&](int32_t slot) { return slot >= rows_of_gradient; })) {
    throw std::invalid_argument("slots: one is not of the gradient's rows");
  }
}

void adam(const AdamInputs& in, const AdamOutputs& out) {
  check_shapes(in);
  const float* n = in.numbers.data<float>();
  const Dims dims = in.variable.dims();
  const Tensor variable = out.variable.allocate(dims), m = out.m.allocate(dims),
               v = out.v.allocate(dims);
  const int64_t rows = in.slots.size(), size = in.variable.size();
  const Step step{{n[0], n[1], n[2], n[3], n[4]},
                  {in.variable.data<float>(), in.m.data<float>(), in.v.data<float>()},
                  {variable.data<float>(), m.data<float>(), v.data<float>()},
                  size >= kMinStreamedSize};
  const float* gradient = in.gradient.data<float>();
  const int64_t width = rows ? size / rows : kLanes;  // without rows, cut between vectors
  const Partition parts(rows ? rows : (size + kLanes - 1) / kLanes,
                        std::max<int64_t>(1, kFloatsPerTask / std::max<int64_t>(1, width)));
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(parts.count, [&](int64_t p) {
    const int64_t begin = parts.begin(p), end = parts.begin(p + 1);
    if (rows == 0) {
      step.update(begin * width, std::min(end * width, size) - begin * width,
                  gradient + begin * width);
    }
    for (int64_t row = begin; rows && row < end; ++row) {
      const int32_t slot = in.slots.data<int32_t>()[row];
      step.update(row * width, width, slot < 0 ? nullptr : gradient + slot * width);
    }
    stream_fence();
  });
}

const bool registered = register_op<adam>("Seq2seqAdam", {});

}  // namespace
}  // namespace seq2seq
