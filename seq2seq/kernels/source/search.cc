// The ops Seq2seqLogSumExp and Seq2seqTopK: what a search asks of logits, each read once.
//
// Shapes: values (..., size); log_sum_exp (...); largest and indices (..., k). All floats are
// float32.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kVectorsOfBlock = 4, kBlock = kVectorsOfBlock * kLanes;

float highest_lane(Vector values) {
  float highest = values[0];
  for (int i = 1; i < kLanes; ++i) highest = std::max(highest, values[i]);
  return highest;
}

Vector highest_of_block(const float* values) {
  Vector highest = load(values);
  for (int v = 1; v < kVectorsOfBlock; ++v) {
    const Vector other = load(values + v * kLanes);
    highest = select(other > highest, other, highest);
  }
  return highest;
}

// A bit for each lane whose value is above a limit.
uint32_t lanes_above(Vector values, float limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(values), _mm512_set1_ps(limit), _CMP_GT_OQ);
#else
  uint32_t lanes = 0;
  for (int i = 0; i < kLanes; ++i) lanes |= static_cast<uint32_t>(values[i] > limit) << i;
  return lanes;
#endif
}

float log_sum_exp(const float* values, int64_t size) {
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  const int64_t whole = size / kBlock * kBlock;
  Vector all = broadcast(nothing);
  for (int64_t i = 0; i < whole; i += kBlock) {
    const Vector block = highest_of_block(values + i);
    all = select(block > all, block, all);
  }
  float highest = highest_lane(all);
  for (int64_t i = whole; i < size; ++i) highest = std::max(highest, values[i]);
  if (highest == nothing) return nothing;
  Vector sums[kVectorsOfBlock] = {};
  for (int64_t i = 0; i < whole; i += kBlock) {
    for (int v = 0; v < kVectorsOfBlock; ++v) sums[v] += exp(load(values + i + v * kLanes) - highest);
  }
  const Vector sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += sum[i];
  for (int64_t i = whole; i < size; ++i) total += std::exp(values[i] - highest);
  return highest + std::log(total);
}

// The k largest so far, largest first; of equal ones the first.
struct Largest {
  float* values;
  int32_t* indices;
  int64_t k, count = 0;

  float least() const { return values[k - 1]; }

  void offer(float value, int64_t index) {
    if (count == k && !(value > least())) return;
    int64_t place = count < k ? count++ : k - 1;
    for (; place > 0 && value > values[place - 1]; --place) {
      values[place] = values[place - 1];
      indices[place] = indices[place - 1];
    }
    values[place] = value;
    indices[place] = static_cast<int32_t>(index);
  }
};

void top_k(const float* values, int64_t size, Largest largest) {
  int64_t i = 0;
  for (; i < largest.k; ++i) largest.offer(values[i], i);
  for (; i + kBlock <= size; i += kBlock) {
    if (!lanes_above(highest_of_block(values + i), largest.least())) continue;
    for (int64_t j = i; j < i + kBlock; j += kLanes) {
      uint32_t lanes = lanes_above(load(values + j), largest.least());
      for (; lanes; lanes &= lanes - 1) {
        const int64_t at = j + __builtin_ctz(lanes);
        largest.offer(values[at], at);
      }
    }
  }
  for (; i < size; ++i) largest.offer(values[i], i);
}

void run_log_sum_exp(bool, const Call& call) {
  const Tensor values = call.input(0);
  std::vector<int64_t> dims = values.dims();
  const int64_t size = dims.back();
  dims.pop_back();
  const Tensor result = call.output(0, dims);
  const Threads::Turn turn(threads());
  threads().run(result.size(), [&](int64_t row) {
    result.data<float>()[row] = log_sum_exp(values.data<float>() + row * size, size);
  });
}

void run_top_k(bool, const Call& call) {
  const Tensor values = call.input(0);
  const int64_t k = *call.input(1).data<int32_t>();
  std::vector<int64_t> dims = values.dims();
  const int64_t size = dims.back();
  if (k < 1 || k > size) throw std::invalid_argument("k must be from 1 to the number of values");
  dims.back() = k;
  const Tensor largest = call.output(0, dims), indices = call.output(1, dims);
  const Threads::Turn turn(threads());
  threads().run(largest.size() / k, [&](int64_t row) {
    top_k(values.data<float>() + row * size, size,
          {largest.data<float>() + row * k, indices.data<int32_t>() + row * k, k});
  });
}

const bool registered =
    register_op<kNoFlag, run_log_sum_exp>(
        {"Seq2seqLogSumExp", {"values: float"}, {"log_sum_exp: float"}, {}}) &&
    register_op<kNoFlag, run_top_k>({"Seq2seqTopK",
                                     {"values: float", "k: int32"},
                                     {"largest: float", "indices: int32"},
                                     {}});

}  // namespace
}  // namespace seq2seq
