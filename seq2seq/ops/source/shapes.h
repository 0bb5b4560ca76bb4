// Checks of what kernels are given: each dimension against all others, before anything is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor.h"

namespace seq2seq {

inline constexpr int64_t kAny = -1;
using Dims = std::vector<int64_t>;

inline std::string text_of(const Dims& dims) {
  std::string text = "(";
  for (const int64_t dim : dims) {
    text += (text.size() > 1 ? ", " : "") + (dim == kAny ? "any" : std::to_string(dim));
  }
  return text + ")";
}

inline bool has_shape(const Tensor& tensor, const Dims& dims) {
  const Dims found = tensor.dims();
  return std::equal(found.begin(), found.end(), dims.begin(), dims.end(),
                    [](int64_t dim, int64_t wanted) { return wanted == kAny || dim == wanted; });
}

// Whether a tensor stands for none: all its dimensions are 0.
inline bool is_none(const Tensor& tensor, size_t rank) { return has_shape(tensor, Dims(rank, 0)); }

[[noreturn]] inline void refuse_shape(const char* name, const Tensor& tensor, const Dims& dims) {
  throw std::invalid_argument(std::string(name) + ": must have the shape " + text_of(dims) +
                              ", got " + text_of(tensor.dims()));
}

inline void expect(const char* name, const Tensor& tensor, const Dims& dims) {
  if (!has_shape(tensor, dims)) refuse_shape(name, tensor, dims);
}

inline void expect_or_none(const char* name, const Tensor& tensor, const Dims& dims) {
  if (!is_none(tensor, dims.size())) expect(name, tensor, dims);
}

// As `expect`; the first dimension may also be 1, which stands for as many as are wanted.
inline void expect_rows(const char* name, const Tensor& tensor, Dims dims) {
  const int64_t rows = dims[0];
  dims[0] = 1;
  if (has_shape(tensor, dims)) return;
  dims[0] = rows;
  expect(name, tensor, dims);
}

// The value of a tensor without dimensions.
template <typename T>
T scalar(const char* name, const Tensor& tensor) {
  expect(name, tensor, {});
  return *tensor.data<T>();
}

// The rows of a matrix; where it has one row for all, that row as often as wanted.
template <typename T>
class Rows {
 public:
  Rows(const Tensor& matrix, int64_t rows) : data_(matrix.data_if_any<T>()) {
    if (matrix.dim(0) == rows || data_ == nullptr) return;
    const int64_t width = matrix.dim(1);
    repeated_.reset(new T[rows * width]);
    for (int64_t row = 0; row < rows; ++row) {
      std::memcpy(repeated_.get() + row * width, data_, width * sizeof(T));
    }
    data_ = repeated_.get();
  }
  const T* data() const { return data_; }

 private:
  const T* data_;
  std::unique_ptr<T[]> repeated_;
};

}  // namespace seq2seq
