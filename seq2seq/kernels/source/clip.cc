// The op Seq2seqClipByGlobalNorm: scales gradients down, in place where nobody else needs them, so
// that their common norm is at most `limit`. A norm that is not finite makes them all NaN.
#include <algorithm>
#include <cmath>

#include "tensor.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kBlock = 1 << 15;

// A part of one gradient.
struct Part {
  size_t gradient;
  int64_t begin, end;
};

float sum_of_squares(const float* values, int64_t count) {
  Vector sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (int v = 0; v < 4; ++v) {
      const Vector value = load(values + i + v * kLanes);
      sums[v] += value * value;
    }
  }
  const Vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += all[lane];
  for (; i < count; ++i) sum += values[i] * values[i];
  return sum;
}

void clip(bool, const Call& call) {
  const float limit = *call.input(0).data<float>();
  std::vector<const float*> gradients;
  std::vector<Tensor> results;
  std::vector<Part> parts;
  for (int i = 1; i < call.inputs(); ++i) {
    const int64_t size = call.input(i).size();
    for (int64_t begin = 0; begin < size; begin += kBlock) {
      parts.push_back({gradients.size(), begin, std::min(begin + kBlock, size)});
    }
    gradients.push_back(call.input_data<float>(i));
  }
  const Threads::Turn turn(threads());
  std::vector<float> squares(parts.size());
  threads().run(parts.size(), [&](int64_t p) {
    const Part& part = parts[p];
    const float* values = gradients[part.gradient];
    squares[p] = sum_of_squares(values + part.begin, part.end - part.begin);
  });
  double sum = 0;
  for (const float square : squares) sum += square;
  const double norm = std::sqrt(sum);
  const auto scale = static_cast<float>(std::isfinite(norm) ? limit / std::max<double>(norm, limit)
                                                            : NAN);
  for (int i = 1; i < call.inputs(); ++i) {
    const std::vector<int64_t> dims = call.input(i).dims();
    results.push_back(call.output(i - 1, dims, i));
  }
  threads().run(parts.size(), [&](int64_t p) {
    const Part& part = parts[p];
    float* to = results[part.gradient].data<float>();
    if (to == gradients[part.gradient] && scale == 1.f) return;
    for (int64_t i = part.begin; i < part.end; ++i) to[i] = gradients[part.gradient][i] * scale;
  });
}

const bool registered = register_op<kNoFlag, clip>({"Seq2seqClipByGlobalNorm",
                                                    {"limit: float", "gradients: count * float"},
                                                    {"clipped: count * float"},
                                                    {"count: int >= 1"}});

}  // namespace
}  // namespace seq2seq
