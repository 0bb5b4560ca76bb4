// The ops Seq2seqDotAttention and Seq2seqDotAttentionGradient: all steps, or all hypotheses, of a
// target attend to its source.
//
//   scores = query keys^T      weights = softmax(scores) over the unmasked source, 0 where masked
//   context = weights values
//
//   d_weights += d_context values^T      d_scores = weights * (d_weights - mean of d_weights)
//   d_query = d_scores keys    d_keys = d_scores^T query    d_values = weights^T d_context
//
// Shapes: query (batch, steps, units), keys (batch, length, units), values (batch, length,
// value_units), mask (batch, length), context (batch, steps, value_units), weights (batch, steps,
// length); the gradient of weights may be empty. Weights and their gradient are float32. Threads
// share the batch; a thread makes all products of a sentence, with small_gemm.h or gemm.h.
#include <algorithm>
#include <limits>

#include "elementwise.h"
#include "gemm.h"
#include "shape_checks.h"
#include "small_gemm.h"

namespace seq2seq {
namespace {

struct ForwardInputs {
  static constexpr const char* kSpecs[] = {"query: T", "keys: T", "values: T", "mask: bool"};
  Tensor query, keys, values, mask;
};
struct ForwardOutputs {
  static constexpr const char* kSpecs[] = {"context: T", "weights: float"};
  Output context, weights;
};
struct BackwardInputs {
  static constexpr const char* kSpecs[] = {"query: T",        "keys: T",        "values: T",
                                           "mask: bool",      "weights: float", "d_context: T",
                                           "d_weights: float"};
  Tensor query, keys, values, mask, weights, d_context, d_weights;
};
struct BackwardOutputs {
  static constexpr const char* kSpecs[] = {"d_query: T", "d_keys: T", "d_values: T"};
  Output d_query, d_keys, d_values;
};

// Up to so many steps, or so long sources and targets, products are too small to be packed.
constexpr int64_t kMaxSmallSteps = 8, kMaxSmallLength = 64;

struct Sizes {
  int64_t batch, steps, units, length, value_units;

  template <typename Inputs>
  explicit Sizes(const Inputs& in) {
    expect_shape("query", in.query, {kAny, kAny, kAny});
    batch = in.query.dim(0), steps = in.query.dim(1), units = in.query.dim(2);
    expect_shape("keys", in.keys, {batch, kAny, units});
    length = in.keys.dim(1);
    expect_shape("values", in.values, {batch, length, kAny});
    value_units = in.values.dim(2);
    expect_shape("mask", in.mask, {batch, length});
  }
  bool are_small() const {
    return steps <= kMaxSmallSteps || (steps <= kMaxSmallLength && length <= kMaxSmallLength);
  }
};

// Turns scores into weights: 0 where masked, with a sum of 1 elsewhere.
void masked_softmax(float* scores, const bool* mask, int64_t size) {
  float highest = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int64_t s = 0; s < size; ++s) {
    if (mask[s]) highest = std::max(highest, scores[s]);
  }
  for_each_vector(size, [&](int64_t s, int count) {
    store(scores + s, exp(load(scores + s, count) - highest), count);
  });
  for (int64_t s = 0; s < size; ++s) sum += scores[s] = mask[s] ? scores[s] : 0;
  for (int64_t s = 0; s < size; ++s) scores[s] /= sum > 0 ? sum : 1;
}

// The attention of one sentence of the batch, on the calling thread.
template <typename T>
struct Sentence {
  const T *query, *keys, *values;
  const bool* mask;
  Sizes sizes;

  template <typename Inputs>
  Sentence(const Sizes& sizes, int64_t b, const Inputs& in)
      : query(in.query.template data<T>() + b * sizes.steps * sizes.units),
        keys(in.keys.template data<T>() + b * sizes.length * sizes.units),
        values(in.values.template data<T>() + b * sizes.length * sizes.value_units),
        mask(in.mask.template data<bool>() + b * sizes.length),
        sizes(sizes) {}

  // C = A * B^T, (steps, length), for A (steps, units) and B (length, units).
  void multiply_transposed(const T* a, const T* b, float* c, int64_t units) const {
    if (sizes.are_small()) {
      return small_gemm_transposed_b<T>({a, units}, {b, units}, {c, sizes.length}, sizes.steps,
                                        units, sizes.length);
    }
    gemm<PackedElement<T>>(single_thread(), Operand<T>{{a, units}}, Operand<T>{{b, units}, true},
                           {c, sizes.length}, sizes.steps, units, sizes.length);
  }

  // C = A * B, where A, or the matrix that it is the transpose of, is (steps, length).
  void multiply(const float* a, bool transposed, const T* b, T* c, int64_t units) const {
    const int64_t rows = transposed ? sizes.length : sizes.steps;
    const int64_t depth = transposed ? sizes.steps : sizes.length;
    if (sizes.are_small()) {
      const TransposableView view = transposed ? TransposableView::transposed(a, sizes.length)
                                               : TransposableView::of(a, sizes.length);
      return small_gemm<T>(view, {b, units}, {c, units}, rows, depth, units);
    }
    const OutputConverter<T> converter(c, rows * units);
    gemm<PackedElement<T>>(single_thread(), Operand<float>{{a, sizes.length}, transposed},
                           Operand<T>{{b, units}}, {converter.data(), units}, rows, depth, units);
    converter.finish(single_thread());
  }

  void attend(float* weights, T* context) const {
    multiply_transposed(query, keys, weights, sizes.units);
    for (int64_t t = 0; t < sizes.steps; ++t) {
      masked_softmax(weights + t * sizes.length, mask, sizes.length);
    }
    multiply(weights, false, values, context, sizes.value_units);
  }

  void differentiate(const float* weights, const T* d_context, const float* d_weights, T* d_query,
                     T* d_keys, T* d_values) const {
    const Buffer memory(sizes.steps * sizes.length);
    float* d_scores = memory.data();
    multiply_transposed(d_context, values, d_scores, sizes.value_units);
    for (int64_t t = 0; t < sizes.steps; ++t) {
      float *d = d_scores + t * sizes.length, mean = 0;
      const float* weight = weights + t * sizes.length;
      for (int64_t s = 0; s < sizes.length; ++s) {
        if (d_weights) d[s] += d_weights[t * sizes.length + s];
        mean += weight[s] * d[s];
      }
      for (int64_t s = 0; s < sizes.length; ++s) d[s] = weight[s] * (d[s] - mean);
    }
    multiply(d_scores, false, keys, d_query, sizes.units);
    multiply(d_scores, true, query, d_keys, sizes.units);
    multiply(weights, true, d_context, d_values, sizes.value_units);
  }
};

void forward(const ForwardInputs& in, const ForwardOutputs& out) {
  const Sizes sizes(in);
  const Tensor context = out.context.allocate({sizes.batch, sizes.steps, sizes.value_units});
  const Tensor weights = out.weights.allocate({sizes.batch, sizes.steps, sizes.length});
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.query.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    thread_pool().parallel_for(sizes.batch, [&](int64_t b) {
      Sentence<T>(sizes, b, in)
          .attend(weights.data<float>() + b * sizes.steps * sizes.length,
                  context.data<T>() + b * sizes.steps * sizes.value_units);
    });
  });
}

void backward(const BackwardInputs& in, const BackwardOutputs& out) {
  const Sizes sizes(in);
  expect_shape("weights", in.weights, {sizes.batch, sizes.steps, sizes.length});
  expect_shape("d_context", in.d_context, {sizes.batch, sizes.steps, sizes.value_units});
  expect_shape_or_empty("d_weights", in.d_weights, {sizes.batch, sizes.steps, sizes.length});
  const Tensor d_query = out.d_query.allocate(in.query.dims()),
               d_keys = out.d_keys.allocate(in.keys.dims()),
               d_values = out.d_values.allocate(in.values.dims());
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.query.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    thread_pool().parallel_for(sizes.batch, [&](int64_t b) {
      const int64_t scores = b * sizes.steps * sizes.length, source = b * sizes.length;
      const float* d_weights = in.d_weights.data_or_null<float>();
      Sentence<T>(sizes, b, in)
          .differentiate(in.weights.data<float>() + scores,
                         in.d_context.data<T>() + b * sizes.steps * sizes.value_units,
                         d_weights ? d_weights + scores : nullptr,
                         d_query.data<T>() + b * sizes.steps * sizes.units,
                         d_keys.data<T>() + source * sizes.units,
                         d_values.data<T>() + source * sizes.value_units);
    });
  });
}

const bool registered = register_op<forward>("Seq2seqDotAttention", {kMatrixTypes}) &&
                        register_op<backward>("Seq2seqDotAttentionGradient", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
