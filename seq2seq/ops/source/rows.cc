// The op Seq2seqRows: some rows of a table, in any order, also rounded or widened.
//
// Shapes: table (count, width), indices (...), rows (..., width).
#include <algorithm>
#include <cstring>

#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr int64_t kElementsInTurn = 1 << 13;

template <typename S, typename T>
void rows_as(const Call& call) {
  const Tensor table = call.input(0), indices = call.input(1);
  expect("table", table, {kAny, kAny});
  const int64_t count = table.dim(0), width = table.dim(1), size = indices.size();
  const int32_t* at = indices.data_if_any<int32_t>();
  if (std::any_of(at, at + size, [&](int32_t row) { return row < 0 || row >= count; })) {
    throw std::invalid_argument("an index is not one of the table's rows");
  }
  std::vector<int64_t> dims = indices.dims();
  dims.push_back(width);
  const Tensor rows = call.output(0, dims);
  const Pieces pieces(size, std::max<int64_t>(1, kElementsInTurn / std::max<int64_t>(1, width)));
  const Threads::Turn turn(threads());
  threads().run(pieces.count, [&](int64_t p) {
    for (int64_t i = pieces.begin(p); i < pieces.begin(p + 1); ++i) {
      const S* from = table.data<S>() + at[i] * width;
      T* to = rows.data<T>() + i * width;
      if constexpr (std::is_same_v<S, T>) {
        std::memcpy(to, from, width * sizeof(T));
      } else {
        each_vector(width, [&](int64_t j, int n) { store(to + j, load(from + j, n), n); });
      }
    }
  });
}

void rows(bool, const Call& call) {
  const auto run = [&](auto from) {
    using S = decltype(from);
    call.gives_bfloat16() ? rows_as<S, BFloat16>(call) : rows_as<S, float>(call);
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

const bool registered = register_op<kNoFlag, rows>(
    {"Seq2seqRows",
     {"table: S", "indices: int32"},
     {"rows: T"},
     {"S: {float, bfloat16}", kMatrixType}});

}  // namespace
}  // namespace seq2seq
