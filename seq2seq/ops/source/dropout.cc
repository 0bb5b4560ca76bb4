// The op Seq2seqDropout: zeros some elements and scales the others up. Given the same seed it makes
// the same choice, so that it is its own gradient.
#include <algorithm>
#include <cmath>

#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kBlock = 1 << 14;

// A bijective hash of 32 bits without visible bias (Wellons, https://github.com/skeeto/hash-prospector).
inline uint32_t mixed(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  return x ^ (x >> 16);
}

float rounded(float value, float) { return value; }
BFloat16 rounded(float value, BFloat16) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <typename T>
void drop(const T* from, T* to, int64_t begin, int64_t end, const uint32_t* seed,
          uint32_t dropped, float scale) {
  const uint32_t high = mixed(static_cast<uint32_t>(begin >> 32) ^ seed[1]);
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t random = mixed(mixed(static_cast<uint32_t>(i) ^ seed[0]) ^ high);
    to[i] = rounded(random < dropped ? 0.f : to_float(from[i]) * scale, T{});
  }
}

void dropout(bool, const Call& call) {
  const Tensor seed = call.input(1);
  expect("seed", seed, {2});
  const float share = scalar<float>("rate", call.input(2));
  if (!(share >= 0 && share < 1)) {
    throw std::invalid_argument("rate: must be at least 0 and below 1");
  }
  const void* x = call.input_data<void>(0);
  const std::vector<int64_t> dims = call.input(0).dims();
  const Tensor y = call.output(0, dims, 0);
  const auto dropped = static_cast<uint32_t>(std::min(share * 4294967296.0, 4294967295.0));
  const int64_t size = y.size(), blocks = (size + kBlock - 1) / kBlock;
  const Threads::Turn turn(threads());
  const auto run = [&](auto type) {
    using T = decltype(type);
    threads().run(blocks, [&](int64_t block) {
      drop(static_cast<const T*>(x), y.data<T>(), block * kBlock,
           std::min(size, (block + 1) * kBlock), seed.data<uint32_t>(), dropped,
           1.f / (1.f - share));
    });
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

const bool registered = register_op<kNoFlag, dropout>(
    {"Seq2seqDropout", {"x: T", "seed: uint32", "rate: float"}, {"y: T"}, {kMatrixType}});

}  // namespace
}  // namespace seq2seq
