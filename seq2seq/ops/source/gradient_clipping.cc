// The op Seq2seqClippingScale: what gradients have to be multiplied with, so that their common norm
// is at most `limit`:
//
//   scale = limit / max(limit, norm), norm = sqrt(sum of all squares); NaN if norm is not finite
//
// Threads share the gradients in parts of 32,768 values; their sums are added in order, in float64.
#include <algorithm>
#include <cmath>

#include "shape_checks.h"
#include "simd_math.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kValuesPerTask = 1 << 15;

struct ClippingInputs {
  static constexpr const char* kSpecs[] = {"limit: float", "gradients: count * float"};
  Tensor limit;
  InputList gradients;
};
struct ClippingOutputs {
  static constexpr const char* kSpecs[] = {"scale: float"};
  Output scale;
};

// A part of one gradient.
struct Part {
  const float* values;
  int64_t count;
};

float sum_of_squares(const Part& part) {
  SimdFloat sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= part.count; i += 4 * kLanes) {
    for (int v = 0; v < 4; ++v) {
      const SimdFloat value = load(part.values + i + v * kLanes);
      sums[v] += value * value;
    }
  }
  float sum = reduce_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < part.count; ++i) sum += part.values[i] * part.values[i];
  return sum;
}

void clipping_scale(const ClippingInputs& in, const ClippingOutputs& out) {
  const float limit = scalar<float>("limit", in.limit);
  std::vector<Part> parts;
  for (int i = 0; i < in.gradients.count(); ++i) {
    const Tensor gradient = in.gradients[i];
    for (int64_t begin = 0; begin < gradient.size(); begin += kValuesPerTask) {
      parts.push_back(
          {gradient.data<float>() + begin, std::min(kValuesPerTask, gradient.size() - begin)});
    }
  }
  const ThreadPool::KernelScope scope(thread_pool());
  std::vector<float> squares(parts.size());
  thread_pool().parallel_for(parts.size(),
                             [&](int64_t p) { squares[p] = sum_of_squares(parts[p]); });
  double sum = 0;
  for (const float square : squares) sum += square;
  const double norm = std::sqrt(sum);
  *out.scale.allocate({}).data<float>() =
      static_cast<float>(std::isfinite(norm) ? limit / std::max<double>(norm, limit) : NAN);
}

const bool registered = register_op<clipping_scale>("Seq2seqClippingScale", {"count: int >= 1"});

}  // namespace
}  // namespace seq2seq
