// The op Seq2seqMergedSlices: the gradient of some of a table's rows, with each row once.
//
// Shapes: slices (count, width), indices (count), rows (); merged (merged_rows, width), in the order
// in which rows first occur; slots (rows): which row of merged is that of a row of the table, -1 where
// none. Slices of a row are added in their order.
#include <algorithm>
#include <cstring>

#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kColumnsInTurn = 64;

void merged_slices(bool, const Call& call) {
  const Tensor slices = call.input(0), indices = call.input(1);
  const int64_t rows = scalar<int32_t>("rows", call.input(2));
  expect("slices", slices, {kAny, kAny});
  expect("indices", indices, {slices.dim(0)});
  if (rows < 0) throw std::invalid_argument("rows: must be at least 0");
  const int64_t width = slices.dim(1), count = indices.size();
  const int32_t* at = indices.data_if_any<int32_t>();
  if (std::any_of(at, at + count, [&](int32_t row) { return row < 0 || row >= rows; })) {
    throw std::invalid_argument("an index is not one of the table's rows");
  }
  const Tensor slots = call.output(1, {rows});
  int32_t* slot = slots.data<int32_t>();
  std::fill(slot, slot + rows, -1);
  int32_t merged_rows = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (slot[at[i]] < 0) slot[at[i]] = merged_rows++;
  }
  const Tensor merged = call.output(0, {merged_rows, width});
  const Pieces pieces(width, kColumnsInTurn);
  const Threads::Turn turn(threads());
  threads().run(pieces.count, [&](int64_t p) {
    const int64_t begin = pieces.begin(p), length = pieces.length(p);
    float* const to = merged.data<float>() + begin;
    for (int64_t row = 0; row < merged_rows; ++row) {
      std::memset(to + row * width, 0, length * sizeof(float));
    }
    for (int64_t i = 0; i < count; ++i) {
      const float* from = slices.data<float>() + i * width + begin;
      float* row = to + slot[at[i]] * width;
      for (int64_t j = 0; j < length; ++j) row[j] += from[j];
    }
  });
}

const bool registered =
    register_op<kNoFlag, merged_slices>({"Seq2seqMergedSlices",
                                         {"slices: float", "indices: int32", "rows: int32"},
                                         {"merged: float", "slots: int32"},
                                         {}});

}  // namespace
}  // namespace seq2seq
