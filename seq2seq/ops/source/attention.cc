// The ops Seq2seqDotAttention and Seq2seqDotAttentionGradient: all steps, or all hypotheses, of a
// target attend to its source.
//
// Shapes: query (batch, steps, units), keys (batch, source_length, units), values
// (batch, source_length, value_units), mask (batch, source_length); context
// (batch, steps, value_units), weights (batch, steps, source_length), their gradient may be empty.
// Weights and their gradient are float32.
#include <algorithm>
#include <limits>

#include "elementwise.h"
#include "shapes.h"
#include "unpacked.h"

namespace seq2seq {
namespace {

// Of so few steps, or of short ones and short sources, products are worth no packing.
constexpr int64_t kFew = 8, kShort = 64;

struct Sizes {
  int64_t batch, steps, units, length, value_units;
  Sizes(const Tensor& query, const Tensor& keys, const Tensor& values, const Tensor& mask) {
    expect("query", query, {kAny, kAny, kAny});
    batch = query.dim(0), steps = query.dim(1), units = query.dim(2);
    expect("keys", keys, {batch, kAny, units});
    length = keys.dim(1);
    expect("values", values, {batch, length, kAny});
    value_units = values.dim(2);
    expect("mask", mask, {batch, length});
  }
  bool are_small() const { return steps <= kFew || (steps <= kShort && length <= kShort); }
};

// Turns scores into weights that are 0 where nothing is real, and add up to 1 elsewhere.
void masked_softmax(float* scores, const bool* mask, int64_t size) {
  float highest = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int64_t s = 0; s < size; ++s) {
    if (mask[s]) highest = std::max(highest, scores[s]);
  }
  each_vector(size, [&](int64_t s, int count) {
    store(scores + s, exp(load(scores + s, count) - highest), count);
  });
  for (int64_t s = 0; s < size; ++s) sum += scores[s] = mask[s] ? scores[s] : 0;
  for (int64_t s = 0; s < size; ++s) scores[s] /= sum > 0 ? sum : 1;
}

// Products for one source, on the calling thread.
template <typename T>
struct Source {
  const T *query, *keys, *values;
  const bool* mask;
  Sizes of;

  Source(const Sizes& of, int64_t b, const Tensor& query, const Tensor& keys, const Tensor& values,
         const Tensor& mask)
      : query(query.data<T>() + b * of.steps * of.units),
        keys(keys.data<T>() + b * of.length * of.units),
        values(values.data<T>() + b * of.length * of.value_units),
        mask(mask.data<bool>() + b * of.length),
        of(of) {}

  // C = A * B for lines of `units` values: the dot products of all of them.
  void scores(const T* a, const T* b, float* c, int64_t units) const {
    if (of.are_small()) {
      return multiply_lines<T>({a, units}, {b, units}, {c, of.length}, of.steps, units, of.length);
    }
    multiply<WordsOf<T>>(this_thread(), Operand<T>{{a, units}}, Operand<T>{{b, units}, true},
                         {c, of.length}, of.steps, units, of.length);
  }

  // C = A * B, where A, or what it is the transpose of, is `(steps, length)`.
  void weighted(const float* a, bool transposed, const T* b, T* c, int64_t units) const {
    const int64_t rows = transposed ? of.length : of.steps;
    const int64_t depth = transposed ? of.steps : of.length;
    if (of.are_small()) {
      const Factors factors =
          transposed ? Factors::transposed(a, of.length) : Factors::of(a, of.length);
      return multiply_unpacked<T>(factors, {b, units}, {c, units}, rows, depth, units);
    }
    const Rounding<T> result(c, rows * units);
    multiply<WordsOf<T>>(this_thread(), Operand<float>{{a, of.length}, transposed},
                         Operand<T>{{b, units}}, {result.data(), units}, rows, depth, units);
    result.finish(this_thread());
  }

  void attend(float* weights, T* context) const {
    scores(query, keys, weights, of.units);
    for (int64_t t = 0; t < of.steps; ++t) masked_softmax(weights + t * of.length, mask, of.length);
    weighted(weights, false, values, context, of.value_units);
  }

  void differentiate(const float* weights, const T* d_context, const float* d_weights, T* d_query,
                     T* d_keys, T* d_values) const {
    const Buffer memory(of.steps * of.length);
    float* d_scores = memory.data();
    scores(d_context, values, d_scores, of.value_units);
    for (int64_t t = 0; t < of.steps; ++t) {
      float *d = d_scores + t * of.length, mean = 0;
      const float* weight = weights + t * of.length;
      for (int64_t s = 0; s < of.length; ++s) {
        if (d_weights) d[s] += d_weights[t * of.length + s];
        mean += weight[s] * d[s];
      }
      for (int64_t s = 0; s < of.length; ++s) d[s] = weight[s] * (d[s] - mean);
    }
    weighted(d_scores, false, keys, d_query, of.units);
    weighted(d_scores, true, query, d_keys, of.units);
    weighted(weights, true, d_context, d_values, of.value_units);
  }
};

void forward(bool, const Call& call) {
  const Tensor query = call.input(0), keys = call.input(1), values = call.input(2),
               mask = call.input(3);
  const Sizes of(query, keys, values, mask);
  const Tensor context = call.output(0, {of.batch, of.steps, of.value_units});
  const Tensor weights = call.output(1, {of.batch, of.steps, of.length});
  const auto run = [&](auto type) {
    using T = decltype(type);
    threads().run(of.batch, [&](int64_t b) {
      Source<T>(of, b, query, keys, values, mask)
          .attend(weights.data<float>() + b * of.steps * of.length,
                  context.data<T>() + b * of.steps * of.value_units);
    });
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

void backward(bool, const Call& call) {
  const Tensor query = call.input(0), keys = call.input(1), values = call.input(2),
               mask = call.input(3), weights = call.input(4), d_context = call.input(5),
               d_weights = call.input(6);
  const Sizes of(query, keys, values, mask);
  expect("weights", weights, {of.batch, of.steps, of.length});
  expect("d_context", d_context, {of.batch, of.steps, of.value_units});
  expect_or_none("d_weights", d_weights, {of.batch, of.steps, of.length});
  const Tensor d_query = call.output(0, query.dims()), d_keys = call.output(1, keys.dims()),
               d_values = call.output(2, values.dims());
  const auto run = [&](auto type) {
    using T = decltype(type);
    threads().run(of.batch, [&](int64_t b) {
      const int64_t pairs = b * of.steps * of.length, at = b * of.length;
      const float* d = d_weights.data_if_any<float>();
      Source<T>(of, b, query, keys, values, mask)
          .differentiate(weights.data<float>() + pairs,
                         d_context.data<T>() + b * of.steps * of.value_units,
                         d ? d + pairs : nullptr, d_query.data<T>() + b * of.steps * of.units,
                         d_keys.data<T>() + at * of.units,
                         d_values.data<T>() + at * of.value_units);
    });
  };
  const Threads::Turn turn(threads());
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

const bool registered =
    register_op<kNoFlag, forward>({"Seq2seqDotAttention",
                                   {"query: T", "keys: T", "values: T", "mask: bool"},
                                   {"context: T", "weights: float"},
                                   {kMatrixType}}) &&
    register_op<kNoFlag, backward>({"Seq2seqDotAttentionGradient",
                                    {"query: T", "keys: T", "values: T", "mask: bool",
                                     "weights: float", "d_context: T", "d_weights: float"},
                                    {"d_query: T", "d_keys: T", "d_values: T"},
                                    {kMatrixType}});

}  // namespace
}  // namespace seq2seq
