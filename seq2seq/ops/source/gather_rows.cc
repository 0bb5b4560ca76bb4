// The op Seq2seqRows: some rows of a table, in any order, also converted to another type:
//
//   rows(..., :) = table(indices(...), :)
//
// Shapes: table (count, width), indices (...), rows (..., width). Threads share the indices.
#include <algorithm>
#include <cstring>

#include "partition.h"
#include "shape_checks.h"
#include "simd.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr int64_t kElementsPerTask = 1 << 13;

struct GatherInputs {
  static constexpr const char* kSpecs[] = {"table: S", "indices: int32"};
  Tensor table, indices;
};
struct GatherOutputs {
  static constexpr const char* kSpecs[] = {"rows: T"};
  Output rows;
};

template <typename S, typename T>
void gather_as(const GatherInputs& in, const Output& rows_output) {
  expect_shape("table", in.table, {kAny, kAny});
  const int64_t count = in.table.dim(0), width = in.table.dim(1), size = in.indices.size();
  const int32_t* indices = in.indices.data_or_null<int32_t>();
  if (std::any_of(indices, indices + size, [&](int32_t row) { return row < 0 || row >= count; })) {
    throw std::invalid_argument("an index is not one of the table's rows");
  }
  Dims dims = in.indices.dims();
  dims.push_back(width);
  const Tensor rows = rows_output.allocate(dims);
  const Partition parts(size, std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, width)));
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(parts.count, [&](int64_t p) {
    for (int64_t i = parts.begin(p); i < parts.begin(p + 1); ++i) {
      const S* from = in.table.data<S>() + indices[i] * width;
      T* to = rows.data<T>() + i * width;
      if constexpr (std::is_same_v<S, T>) {
        std::memcpy(to, from, width * sizeof(T));
      } else {
        for_each_vector(width, [&](int64_t j, int n) { store(to + j, load(from + j, n), n); });
      }
    }
  });
}

void gather(const GatherInputs& in, const GatherOutputs& out) {
  dispatch_type(in.table.is_bfloat16(), [&](auto from) {
    dispatch_type(out.rows.is_bfloat16(),
                  [&](auto to) { gather_as<decltype(from), decltype(to)>(in, out.rows); });
  });
}

const bool registered = register_op<gather>("Seq2seqRows", {"S: {float, bfloat16}", kMatrixTypes});

}  // namespace
}  // namespace seq2seq
