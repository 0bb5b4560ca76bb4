// The op Seq2seqColumns: some columns of a matrix, in any order:
//
//   columns(:, j) = matrix(:, indices(j))
//
// Shapes: matrix (rows, width), indices (count), columns (rows, count). Threads share the rows.
#include <algorithm>

#include "partition.h"
#include "shape_checks.h"
#include "simd.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kElementsPerTask = 1 << 14;

struct ColumnsInputs {
  static constexpr const char* kSpecs[] = {"matrix: float", "indices: int32"};
  Tensor matrix, indices;
};
struct ColumnsOutputs {
  static constexpr const char* kSpecs[] = {"columns: float"};
  Output columns;
};

void gather_columns(const ColumnsInputs& in, const ColumnsOutputs& out) {
  expect_shape("matrix", in.matrix, {kAny, kAny});
  expect_shape("indices", in.indices, {kAny});
  const int64_t rows = in.matrix.dim(0), width = in.matrix.dim(1), count = in.indices.size();
  const int32_t* indices = in.indices.data_or_null<int32_t>();
  if (std::any_of(indices, indices + count, [&](int32_t j) { return j < 0 || j >= width; })) {
    throw std::invalid_argument("an index is not one of the matrix' columns");
  }
  const Tensor columns = out.columns.allocate({rows, count});
  const Partition parts(rows, std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, count)));
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(parts.count, [&](int64_t p) {
    for (int64_t i = parts.begin(p); i < parts.begin(p + 1); ++i) {
      const float* from = in.matrix.data<float>() + i * width;
      float* to = columns.data<float>() + i * count;
      for (int64_t j = 0; j < count; ++j) to[j] = from[indices[j]];
    }
  });
}

const bool registered = register_op<gather_columns>("Seq2seqColumns", {});

}  // namespace
}  // namespace seq2seq
