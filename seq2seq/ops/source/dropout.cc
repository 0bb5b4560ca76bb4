// The op Seq2seqDropout: sets a share `rate` of the elements to 0 and multiplies the others with
// 1 / (1 - rate). An element's random number is a hash of the seed and its position:
//
//   random(i) = hash(hash(low32(i) ^ seed[0]) ^ hash(high32(i) ^ seed[1]));  0 if < rate * 2^32
//
// so that the same seed drops the same elements: the op is its own gradient. Threads share the
// elements in blocks of 16,384.
#include <algorithm>
#include <cmath>

#include "shape_checks.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kBlock = 1 << 14;

struct DropoutInputs {
  static constexpr const char* kSpecs[] = {"x: T", "seed: uint32", "rate: float"};
  ReusableInput x;
  Tensor seed, rate;
};
struct DropoutOutputs {
  static constexpr const char* kSpecs[] = {"y: T"};
  Output y;
};

// A bijective hash of 32 bits without visible bias (Wellons,
// https://github.com/skeeto/hash-prospector).
inline uint32_t hash(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  return x ^ (x >> 16);
}

void convert(float value, float& to) { to = value; }
void convert(float value, BFloat16& to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  to.bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Handles the elements from `begin` to `end`, within one block.
template <typename T>
void drop(const T* from, T* to, int64_t begin, int64_t end, const uint32_t* seed,
          uint32_t threshold, float scale) {
  const uint32_t high = hash(static_cast<uint32_t>(begin >> 32) ^ seed[1]);
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t random = hash(hash(static_cast<uint32_t>(i) ^ seed[0]) ^ high);
    convert(random < threshold ? 0.f : to_float(from[i]) * scale, to[i]);
  }
}

void dropout(const DropoutInputs& in, const DropoutOutputs& out) {
  expect_shape("seed", in.seed, {2});
  const float rate = scalar<float>("rate", in.rate);
  if (!(rate >= 0 && rate < 1)) {
    throw std::invalid_argument("rate: must be at least 0 and below 1");
  }
  const Tensor y = out.y.allocate(in.x.dims(), in.x);
  const auto threshold = static_cast<uint32_t>(std::min(rate * 4294967296.0, 4294967295.0));
  const int64_t size = y.size(), blocks = (size + kBlock - 1) / kBlock;
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    thread_pool().parallel_for(blocks, [&](int64_t block) {
      drop<T>(in.x.data<T>(), y.data<T>(), block * kBlock, std::min(size, (block + 1) * kBlock),
              in.seed.data<uint32_t>(), threshold, 1.f / (1.f - rate));
    });
  });
}

const bool registered = register_op<dropout>("Seq2seqDropout", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
