// The ops Seq2seqLogSumExp and Seq2seqTopK: what a search asks of logits.
//
// The first one also leaves the largest value of each block, its peak. With them the second one
// reads only the blocks that can hold one of the k largest.
//
// Shapes: values (..., size); log_sum_exp (...); peaks (..., blocks); largest and indices (..., k).
// All floats are float32.
#include <algorithm>
#include <cmath>
#include <limits>

#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kVectorsOfBlock = 4, kBlock = kVectorsOfBlock * kLanes;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

Vector highest_of_block(const float* values) {
  Vector highest = load(values);
  for (int v = 1; v < kVectorsOfBlock; ++v) {
    highest = larger(load(values + v * kLanes), highest);
  }
  return highest;
}

// A bit for each lane whose value is at least `limit`.
uint32_t lanes_from(Vector values, float limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(values), _mm512_set1_ps(limit), _CMP_GE_OQ);
#else
  uint32_t lanes = 0;
  for (int i = 0; i < kLanes; ++i) lanes |= static_cast<uint32_t>(values[i] >= limit) << i;
  return lanes;
#endif
}

int64_t blocks_of(int64_t size) { return (size + kBlock - 1) / kBlock; }

void find_peaks(const float* values, int64_t size, float* peaks) {
  const int64_t whole = size / kBlock;
  for (int64_t b = 0; b < whole; ++b) peaks[b] = highest_lane(highest_of_block(values + b * kBlock));
  if (whole * kBlock < size) peaks[whole] = *std::max_element(values + whole * kBlock, values + size);
}

// The largest of the values below a limit.
float highest_below(float limit, const float* values, int64_t size) {
  Vector all = broadcast(kNothing);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Vector some = load(values + i);
    all = select((some < limit) & (some > all), some, all);
  }
  float highest = highest_lane(all);
  for (; i < size; ++i) {
    if (values[i] < limit) highest = std::max(highest, values[i]);
  }
  return highest;
}

float log_sum_exp(const float* values, int64_t size, const float* peaks) {
  if (size == 0) return kNothing;
  const float highest = *std::max_element(peaks, peaks + blocks_of(size));
  if (highest == kNothing) return kNothing;
  const int64_t whole = size / kBlock * kBlock;
  Vector sums[kVectorsOfBlock] = {};
  for (int64_t i = 0; i < whole; i += kBlock) {
    for (int v = 0; v < kVectorsOfBlock; ++v) sums[v] += exp(load(values + i + v * kLanes) - highest);
  }
  float total = sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (int64_t i = whole; i < size; ++i) total += std::exp(values[i] - highest);
  return highest + std::log(total);
}

// The k largest so far, largest first; of equal ones the first.
struct Largest {
  float* values;
  int32_t* indices;
  int64_t k, count = 0;

  void offer(float value, int64_t index) {
    if (count == k && !(value > values[k - 1])) return;
    int64_t place = count < k ? count++ : k - 1;
    for (; place > 0 && value > values[place - 1]; --place) {
      values[place] = values[place - 1];
      indices[place] = indices[place - 1];
    }
    values[place] = value;
    indices[place] = static_cast<int32_t>(index);
  }
};

// The k highest peaks are k values, so that no smaller one is looked for, and few blocks are read.
void top_k(const float* peaks, const float* values, int64_t size, Largest largest) {
  const int64_t blocks = blocks_of(size);
  float least = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < largest.k && least > kNothing; ++i) {
    least = highest_below(least, peaks, blocks);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    if (!(peaks[b] >= least)) continue;
    int64_t i = b * kBlock;
    const int64_t end = std::min(i + kBlock, size);
    for (; i + kLanes <= end; i += kLanes) {
      for (uint32_t lanes = lanes_from(load(values + i), least); lanes; lanes &= lanes - 1) {
        const int64_t at = i + __builtin_ctz(lanes);
        largest.offer(values[at], at);
      }
    }
    for (; i < end; ++i) largest.offer(values[i], i);
  }
  while (largest.count < largest.k) {  // blocks with values that are no numbers may be left out
    largest.offer(std::numeric_limits<float>::quiet_NaN(), largest.count);
  }
}

// The dimensions of values, at least one.
Dims dims_of(const Tensor& values) {
  Dims dims = values.dims();
  if (dims.empty()) throw std::invalid_argument("values: must have at least one dimension");
  return dims;
}

void run_log_sum_exp(bool, const Call& call) {
  const Tensor values = call.input(0);
  Dims dims = dims_of(values);
  const int64_t size = dims.back();
  dims.pop_back();
  const Tensor result = call.output(0, dims);
  dims.push_back(blocks_of(size));
  const Tensor peaks = call.output(1, dims);
  const Threads::Turn turn(threads());
  threads().run(result.size(), [&](int64_t row) {
    const float* of_row = values.data<float>() + row * size;
    float* of_blocks = peaks.data<float>() + row * blocks_of(size);
    find_peaks(of_row, size, of_blocks);
    result.data<float>()[row] = log_sum_exp(of_row, size, of_blocks);
  });
}

void run_top_k(bool, const Call& call) {
  const Tensor values = call.input(0);
  const int64_t k = scalar<int32_t>("k", call.input(1));
  const Tensor peaks = call.input(2);
  Dims dims = dims_of(values);
  const int64_t size = dims.back();
  dims.back() = blocks_of(size);
  if (!is_none(peaks, 1)) expect("peaks", peaks, dims);
  if (k < 1 || k > size) throw std::invalid_argument("k must be from 1 to the number of values");
  dims.back() = k;
  const Tensor largest = call.output(0, dims), indices = call.output(1, dims);
  const Threads::Turn turn(threads());
  threads().run(largest.size() / k, [&](int64_t row) {
    const float* of_row = values.data<float>() + row * size;
    const Largest best{largest.data<float>() + row * k, indices.data<int32_t>() + row * k, k};
    if (peaks.size()) return top_k(peaks.data<float>() + row * blocks_of(size), of_row, size, best);
    thread_local std::vector<float> own;
    own.resize(blocks_of(size));
    find_peaks(of_row, size, own.data());
    top_k(own.data(), of_row, size, best);
  });
}

const bool registered =
    register_op<kNoFlag, run_log_sum_exp>(
        {"Seq2seqLogSumExp", {"values: float"}, {"log_sum_exp: float", "peaks: float"}, {}}) &&
    register_op<kNoFlag, run_top_k>({"Seq2seqTopK",
                                     {"values: float", "k: int32", "peaks: float"},
                                     {"largest: float", "indices: int32"},
                                     {}});

}  // namespace
}  // namespace seq2seq
