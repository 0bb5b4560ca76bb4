// The op Seq2seqMergedSlices: the gradient of some of a table's rows, with the slices of each row
// added up in their order:
//
//   indices  5 2 5      slots  . . 1 . . 0 .      merged  slice 0 + slice 2   (row 5 of the table)
//                                                         slice 1             (row 2)
//
// Shapes: slices (count, width), indices (count), rows (); merged (merged_rows, width), in the
// order in which rows first occur; slots (rows): which row of merged is that of a row of the table,
// -1 for none. Threads share the columns.
#include <algorithm>
#include <cstring>

#include "partition.h"
#include "shape_checks.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kColumnsPerTask = 64;

struct MergeInputs {
  static constexpr const char* kSpecs[] = {"slices: float", "indices: int32", "rows: int32"};
  Tensor slices, indices, rows;
};
struct MergeOutputs {
  static constexpr const char* kSpecs[] = {"merged: float", "slots: int32"};
  Output merged, slots;
};

void merge_slices(const MergeInputs& in, const MergeOutputs& out) {
  const int64_t rows = scalar<int32_t>("rows", in.rows);
  expect_shape("slices", in.slices, {kAny, kAny});
  expect_shape("indices", in.indices, {in.slices.dim(0)});
  if (rows < 0) throw std::invalid_argument("rows: must be at least 0");
  const int64_t width = in.slices.dim(1), count = in.indices.size();
  const int32_t* indices = in.indices.data_or_null<int32_t>();
  if (std::any_of(indices, indices + count, [&](int32_t row) { return row < 0 || row >= rows; })) {
    throw std::invalid_argument("an index is not one of the table's rows");
  }
  const Tensor slots_tensor = out.slots.allocate({rows});
  int32_t* slots = slots_tensor.data<int32_t>();
  std::fill(slots, slots + rows, -1);
  int32_t merged_rows = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (slots[indices[i]] < 0) slots[indices[i]] = merged_rows++;
  }
  const Tensor merged = out.merged.allocate({merged_rows, width});
  const Partition parts(width, kColumnsPerTask);
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(parts.count, [&](int64_t p) {
    const int64_t begin = parts.begin(p), length = parts.length(p);
    float* const to = merged.data<float>() + begin;
    for (int64_t row = 0; row < merged_rows; ++row) {
      std::memset(to + row * width, 0, length * sizeof(float));
    }
    for (int64_t i = 0; i < count; ++i) {
      const float* from = in.slices.data<float>() + i * width + begin;
      float* row = to + slots[indices[i]] * width;
      for (int64_t j = 0; j < length; ++j) row[j] += from[j];
    }
  });
}

const bool registered = register_op<merge_slices>("Seq2seqMergedSlices", {});

}  // namespace
}  // namespace seq2seq
