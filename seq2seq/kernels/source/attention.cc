// The op Seq2seqDotAttention: all hypotheses of a source attend to it, in one step.
//
// Shapes: query (batch, width, units), keys (batch, source_length, units), values
// (batch, source_length, value_units), mask (batch, source_length); context
// (batch, width, value_units), weights (batch, width, source_length). All floats are float32.
#include <algorithm>
#include <cmath>
#include <limits>

#include "few_rows.h"
#include "tensor.h"

namespace seq2seq {
namespace {

// Turns scores into weights that are 0 where nothing is real, and add up to 1 elsewhere.
void masked_softmax(float* scores, const bool* mask, int64_t size) {
  float highest = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int64_t s = 0; s < size; ++s) {
    if (mask[s]) highest = std::max(highest, scores[s]);
  }
  for (int64_t s = 0; s < size; ++s) sum += scores[s] = mask[s] ? std::exp(scores[s] - highest) : 0;
  for (int64_t s = 0; s < size; ++s) scores[s] /= sum > 0 ? sum : 1;
}

void attend(bool, const Call& call) {
  const Tensor query = call.input(0), keys = call.input(1), values = call.input(2),
               mask = call.input(3);
  const int64_t batch = query.dim(0), width = query.dim(1), units = query.dim(2),
                length = keys.dim(1), value_units = values.dim(2);
  const Tensor context = call.output(0, {batch, width, value_units});
  const Tensor weights = call.output(1, {batch, width, length});
  const auto source = [&](int64_t b) {
    const float *asked = query.data<float>() + b * width * units,
                *key = keys.data<float>() + b * length * units;
    const bool* real = mask.data<bool>() + b * length;
    float* weight = weights.data<float>() + b * width * length;
    for (int64_t w = 0; w < width; ++w) {
      for (int64_t s = 0; s < length; ++s) {
        weight[w * length + s] =
            real[s] ? sum_of_products(asked + w * units, key + s * units, units) : 0;
      }
      masked_softmax(weight + w * length, real, length);
    }
    float* to = context.data<float>() + b * width * value_units;
    std::memset(to, 0, width * value_units * sizeof(float));
    add_product({weight, length}, {values.data<float>() + b * length * value_units, value_units},
                {to, value_units}, width, length, 0, value_units);
  };
  const Threads::Turn turn(threads());
  threads().run(batch, source);
}

const bool registered = register_op<kNoFlag, attend>(
    {"Seq2seqDotAttention",
     {"query: float", "keys: float", "values: float", "mask: bool"},
     {"context: float", "weights: float"},
     {}});

}  // namespace
}  // namespace seq2seq
