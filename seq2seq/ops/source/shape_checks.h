// Checks of an op's inputs, each dimension against all others, before anything is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "op_kernel.h"

namespace seq2seq {

// A dimension of any size.
inline constexpr int64_t kAny = -1;

inline std::string to_text(const Dims& dims) {
  std::string text = "(";
  for (const int64_t dim : dims) {
    text += (text.size() > 1 ? ", " : "") + (dim == kAny ? "any" : std::to_string(dim));
  }
  return text + ")";
}

inline bool matches(const Dims& dims, const Dims& expected) {
  return std::equal(dims.begin(), dims.end(), expected.begin(), expected.end(),
                    [](int64_t dim, int64_t size) { return size == kAny || dim == size; });
}

// Whether a tensor stands for none: all its dimensions are 0.
inline bool is_empty(const Tensor& tensor, size_t rank) {
  return matches(tensor.dims(), Dims(rank, 0));
}

// Throws unless an input, a `Tensor` or a `ReusableInput`, has these dimensions.
template <typename Input>
void expect_shape(const char* name, const Input& input, const Dims& dims) {
  if (matches(input.dims(), dims)) return;
  throw std::invalid_argument(std::string(name) + ": must have the shape " + to_text(dims) +
                              ", got " + to_text(input.dims()));
}

inline void expect_shape_or_empty(const char* name, const Tensor& tensor, const Dims& dims) {
  if (!is_empty(tensor, dims.size())) expect_shape(name, tensor, dims);
}

// The first dimension may also be 1, for one row that all share.
inline void expect_rows_or_one(const char* name, const Tensor& tensor, Dims dims) {
  const int64_t rows = dims[0];
  dims[0] = 1;
  if (matches(tensor.dims(), dims)) return;
  dims[0] = rows;
  expect_shape(name, tensor, dims);
}

// Returns the value of a tensor without dimensions.
template <typename T>
T scalar(const char* name, const Tensor& tensor) {
  expect_shape(name, tensor, {});
  return *tensor.data<T>();
}

// The rows of a matrix; one row that all share is repeated.
template <typename T>
class RepeatedRows {
 public:
  RepeatedRows(const Tensor& matrix, int64_t rows) : data_(matrix.data_or_null<T>()) {
    if (matrix.dim(0) == rows || data_ == nullptr) return;
    const int64_t width = matrix.dim(1);
    copies_.reset(new T[rows * width]);
    for (int64_t row = 0; row < rows; ++row) {
      std::memcpy(copies_.get() + row * width, data_, width * sizeof(T));
    }
    data_ = copies_.get();
  }
  const T* data() const { return data_; }

 private:
  const T* data_;
  std::unique_ptr<T[]> copies_;
};

}  // namespace seq2seq
