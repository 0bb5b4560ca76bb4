// Views of matrices in memory. A view does not own its values.
//
//   strided:  row i starts at data + i * stride        |0 1 2 . .|3 4 5 . .|6 7 8 . .|
//   gathered: row i starts at data + offsets[i]        any rows, in any order
#pragma once

#include <cstdint>

namespace seq2seq {

// A matrix of rows in one piece each.
template <typename T>
struct MatrixView {
  T* data;
  int64_t stride;                    // elements from row to row, unless there are
  const int64_t* offsets = nullptr;  // of each row from `data`
  T* row(int64_t i) const { return data + (offsets ? offsets[i] : i * stride); }
};

// An operand of a product. If it is transposed, its element (i, j) is the view's element (j, i).
template <typename T>
struct Operand {
  MatrixView<const T> matrix;
  bool transposed = false;
};

}  // namespace seq2seq
