// The ops Seq2seqLogSumExp and Seq2seqTopK: the log-normalizer and the k largest of each row of
// logits.
//
//   log_sum_exp = highest + log(sum of exp(values - highest))
//
// Both work on blocks of 4 vectors. The first op also leaves the largest value of each block, its
// peak. With the peaks the second one finds a lower bound of the k-th largest value, the k-th
// largest peak, and reads only the blocks that reach it:
//
//   values  [ block 0 | block 1 | block 2 | block 3 | ...
//   peaks       7.1       2.4       9.3       0.8            k = 2: at least 7.1, in blocks 0 and 2
//
// Shapes: values (..., size); log_sum_exp (...); peaks (..., blocks); largest and indices (..., k).
// All floats are float32. Threads share the rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "shape_checks.h"
#include "simd_math.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kVectorsPerBlock = 4, kBlock = kVectorsPerBlock * kLanes;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct LogSumExpInputs {
  static constexpr const char* kSpecs[] = {"values: float"};
  Tensor values;
};
struct LogSumExpOutputs {
  static constexpr const char* kSpecs[] = {"log_sum_exp: float", "peaks: float"};
  Output log_sum_exp, peaks;
};
struct TopKInputs {
  static constexpr const char* kSpecs[] = {"values: float", "k: int32", "peaks: float"};
  Tensor values, k, peaks;
};
struct TopKOutputs {
  static constexpr const char* kSpecs[] = {"largest: float", "indices: int32"};
  Output largest, indices;
};

SimdFloat max_of_block(const float* values) {
  SimdFloat highest = load(values);
  for (int v = 1; v < kVectorsPerBlock; ++v) {
    highest = max(load(values + v * kLanes), highest);
  }
  return highest;
}

// A bit for each lane whose value is at least `limit`.
uint32_t lanes_at_least(SimdFloat values, float limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(values), _mm512_set1_ps(limit), _CMP_GE_OQ);
#else
  uint32_t lanes = 0;
  for (int i = 0; i < kLanes; ++i) lanes |= static_cast<uint32_t>(values[i] >= limit) << i;
  return lanes;
#endif
}

int64_t block_count(int64_t size) { return (size + kBlock - 1) / kBlock; }

void find_peaks(const float* values, int64_t size, float* peaks) {
  const int64_t full_blocks = size / kBlock;
  for (int64_t b = 0; b < full_blocks; ++b)
    peaks[b] = reduce_max(max_of_block(values + b * kBlock));
  if (full_blocks * kBlock < size) {
    peaks[full_blocks] = *std::max_element(values + full_blocks * kBlock, values + size);
  }
}

// Returns the largest of the values below a limit.
float highest_below(float limit, const float* values, int64_t size) {
  SimdFloat maxima = broadcast(kMinusInfinity);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const SimdFloat x = load(values + i);
    maxima = select((x < limit) & (x > maxima), x, maxima);
  }
  float highest = reduce_max(maxima);
  for (; i < size; ++i) {
    if (values[i] < limit) highest = std::max(highest, values[i]);
  }
  return highest;
}

float log_sum_exp(const float* values, int64_t size, const float* peaks) {
  if (size == 0) return kMinusInfinity;
  const float highest = *std::max_element(peaks, peaks + block_count(size));
  if (highest == kMinusInfinity) return kMinusInfinity;
  const int64_t in_blocks = size / kBlock * kBlock;
  SimdFloat sums[kVectorsPerBlock] = {};
  for (int64_t i = 0; i < in_blocks; i += kBlock) {
    for (int v = 0; v < kVectorsPerBlock; ++v)
      sums[v] += exp(load(values + i + v * kLanes) - highest);
  }
  float total = reduce_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (int64_t i = in_blocks; i < size; ++i) total += std::exp(values[i] - highest);
  return highest + std::log(total);
}

// The k largest values so far, in descending order; of equal values the first.
struct SortedTopK {
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

// Finds the k largest of a row, from the blocks whose peak is among the k largest peaks.
void top_k(const float* peaks, const float* values, int64_t size, SortedTopK top) {
  const int64_t blocks = block_count(size);
  float lower_bound = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < top.k && lower_bound > kMinusInfinity; ++i) {
    lower_bound = highest_below(lower_bound, peaks, blocks);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    if (!(peaks[b] >= lower_bound)) continue;
    int64_t i = b * kBlock;
    const int64_t end = std::min(i + kBlock, size);
    for (; i + kLanes <= end; i += kLanes) {
      for (uint32_t lanes = lanes_at_least(load(values + i), lower_bound); lanes;
           lanes &= lanes - 1) {
        const int64_t at = i + __builtin_ctz(lanes);
        top.offer(values[at], at);
      }
    }
    for (; i < end; ++i) top.offer(values[i], i);
  }
  while (top.count < top.k) {  // blocks with NaN may have been left out
    top.offer(std::numeric_limits<float>::quiet_NaN(), top.count);
  }
}

Dims checked_dims(const Tensor& values) {
  Dims dims = values.dims();
  if (dims.empty()) throw std::invalid_argument("values: must have at least one dimension");
  return dims;
}

void run_log_sum_exp(const LogSumExpInputs& in, const LogSumExpOutputs& out) {
  Dims dims = checked_dims(in.values);
  const int64_t size = dims.back();
  dims.pop_back();
  const Tensor result = out.log_sum_exp.allocate(dims);
  dims.push_back(block_count(size));
  const Tensor peaks = out.peaks.allocate(dims);
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(result.size(), [&](int64_t row) {
    const float* values = in.values.data<float>() + row * size;
    float* peaks_of_row = peaks.data<float>() + row * block_count(size);
    find_peaks(values, size, peaks_of_row);
    result.data<float>()[row] = log_sum_exp(values, size, peaks_of_row);
  });
}

void run_top_k(const TopKInputs& in, const TopKOutputs& out) {
  const int64_t k = scalar<int32_t>("k", in.k);
  Dims dims = checked_dims(in.values);
  const int64_t size = dims.back();
  dims.back() = block_count(size);
  if (!is_empty(in.peaks, 1)) expect_shape("peaks", in.peaks, dims);
  if (k < 1 || k > size) throw std::invalid_argument("k must be from 1 to the number of values");
  dims.back() = k;
  const Tensor largest = out.largest.allocate(dims), indices = out.indices.allocate(dims);
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(largest.size() / k, [&](int64_t row) {
    const float* values = in.values.data<float>() + row * size;
    const SortedTopK top{largest.data<float>() + row * k, indices.data<int32_t>() + row * k, k};
    if (in.peaks.size()) {
      return top_k(in.peaks.data<float>() + row * block_count(size), values, size, top);
    }
    thread_local std::vector<float> peaks;
    peaks.resize(block_count(size));
    find_peaks(values, size, peaks.data());
    top_k(peaks.data(), values, size, top);
  });
}

const bool registered = register_op<run_log_sum_exp>("Seq2seqLogSumExp", {}) &&
                        register_op<run_top_k>("Seq2seqTopK", {});

}  // namespace
}  // namespace seq2seq
