// The op Seq2seqSumOfSlices: a gradient of some of a table's rows as one of all of them.
//
// Each thread clears some rows and adds what belongs to them, in the order of the slices: so the
// sums are the same with any number of threads.
//
// Shapes: slices (count, width), indices (count), rows (), sums (rows, width). Floats are float32.
#include <algorithm>
#include <cstring>

#include "product.h"
#include "tensor.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kFloatsInTurn = 1 << 16;

void sum_of_slices(bool, const Call& call) {
  const Tensor slices = call.input(0), indices = call.input(1);
  const int64_t rows = *call.input_data<int32_t>(2), width = slices.dim(1), count = indices.size();
  const int32_t* at = indices.data_if_any<int32_t>();
  if (count != slices.dim(0)) throw std::invalid_argument("each slice needs an index");
  if (std::any_of(at, at + count, [&](int32_t row) { return row < 0 || row >= rows; })) {
    throw std::invalid_argument("an index is not one of the table's rows");
  }
  const Tensor sums = call.output(0, {rows, width});
  const Pieces pieces(rows, std::max<int64_t>(1, kFloatsInTurn / std::max<int64_t>(1, width)));
  const Threads::Turn turn(threads());
  threads().run(pieces.count, [&](int64_t p) {
    const int64_t begin = pieces.begin(p), end = pieces.begin(p + 1);
    float* to = sums.data<float>();
    std::memset(to + begin * width, 0, (end - begin) * width * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      if (at[i] < begin || at[i] >= end) continue;
      const float* from = slices.data<float>() + i * width;
      float* row = to + at[i] * width;
      for (int64_t j = 0; j < width; ++j) row[j] += from[j];
    }
  });
}

const bool registered =
    register_op<kNoFlag, sum_of_slices>({"Seq2seqSumOfSlices",
                                         {"slices: float", "indices: int32", "rows: int32"},
                                         {"sums: float"},
                                         {}});

}  // namespace
}  // namespace seq2seq
