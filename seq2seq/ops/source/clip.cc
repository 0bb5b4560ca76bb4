// The op Seq2seqClippingScale: what gradients have to be multiplied with, so that their common norm is
// at most `limit`. Not a number where the norm is not finite.
#include <algorithm>
#include <cmath>

#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kBlock = 1 << 15;

// A part of one gradient.
struct Part {
  const float* values;
  int64_t count;
};

float sum_of_squares(const Part& part) {
  Vector sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= part.count; i += 4 * kLanes) {
    for (int v = 0; v < 4; ++v) {
      const Vector value = load(part.values + i + v * kLanes);
      sums[v] += value * value;
    }
  }
  float sum = sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < part.count; ++i) sum += part.values[i] * part.values[i];
  return sum;
}

void clipping_scale(bool, const Call& call) {
  const float limit = scalar<float>("limit", call.input(0));
  std::vector<Part> parts;
  for (int i = 1; i < call.inputs(); ++i) {
    const Tensor gradient = call.input(i);
    for (int64_t begin = 0; begin < gradient.size(); begin += kBlock) {
      parts.push_back({gradient.data<float>() + begin, std::min(kBlock, gradient.size() - begin)});
    }
  }
  const Threads::Turn turn(threads());
  std::vector<float> squares(parts.size());
  threads().run(parts.size(), [&](int64_t p) { squares[p] = sum_of_squares(parts[p]); });
  double sum = 0;
  for (const float square : squares) sum += square;
  const double norm = std::sqrt(sum);
  *call.output(0, {}).data<float>() =
      static_cast<float>(std::isfinite(norm) ? limit / std::max<double>(norm, limit) : NAN);
}

const bool registered =
    register_op<kNoFlag, clipping_scale>({"Seq2seqClippingScale",
                                          {"limit: float", "gradients: count * float"},
                                          {"scale: float"},
                                          {"count: int >= 1"}});

}  // namespace
}  // namespace seq2seq
