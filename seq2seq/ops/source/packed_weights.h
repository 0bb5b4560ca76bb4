// Weights of a decoder's step, packed once for all steps of a search by the op Seq2seqPack, and
// read by Seq2seqPackedDense, Seq2seqPackedTanhDense and Seq2seq{Lstm,Gru}Step.
//
// A packed tensor is empty, or a header and what its format says:
//
//   [ PackedHeader, 64 bytes | values ]
//
//   kNone              unused values: the matrix is not bfloat16, and is read itself (gemv.h)
//   kBFloat16Words     half of the memory, for few rows of x (bfloat16_weights.h)
//   kFloat32Panels,    panels of 32 columns (packing.h); of a recurrent layer's weights a panel for
//   kBFloat16Panels,   each gate of 32 units, side by side (recurrent_layer.h)
//   kInt8Panels
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "bfloat16_weights.h"
#include "int8_quads.h"
#include "recurrent_layer.h"
#include "shape_checks.h"

namespace seq2seq {

enum class PackedFormat : uint32_t {
  kNone,
  kBFloat16Words,
  kFloat32Panels,
  kBFloat16Panels,
  kInt8Panels
};

// As long as a cache line, so that the values behind it start at one.
struct alignas(64) PackedHeader {
  PackedFormat format;
  uint32_t transposed;  // whether the matrix in memory is (columns, depth)
  int64_t depth, columns;
  int64_t gates;  // whose columns lie side by side in the matrix
};
static_assert(std::is_trivially_copyable_v<PackedHeader>);
constexpr int64_t kHeaderFloats = sizeof(PackedHeader) / sizeof(float);

// A matrix of weights and its packed form, for products with rows of type T.
template <typename T>
class Weights {
 public:
  using Element = PackedElement<T>;
  static constexpr PackedFormat kPanels =
      Element::kValues > 1 ? PackedFormat::kBFloat16Panels : PackedFormat::kFloat32Panels;

  Weights(const Tensor& matrix, bool transposed, int gates) {
    expect_shape("matrix", matrix, {kAny, kAny});
    matrix_ = {{matrix.data<float>(), matrix.dim(1)}, transposed};
    header_.transposed = transposed;
    header_.depth = matrix.dim(transposed ? 1 : 0);
    header_.columns = matrix.dim(transposed ? 0 : 1);
    header_.gates = gates;
  }

  // Throws if `packed` is not empty and was made of a matrix of another shape.
  Weights(const Tensor& matrix, bool transposed, int gates, const Tensor& packed)
      : Weights(matrix, transposed, gates) {
    expect_shape("packed", packed, {kAny});
    if (packed.size() == 0) return;
    PackedHeader header{};
    if (packed.size() >= kHeaderFloats) {
      std::memcpy(&header, packed.data<float>(), sizeof header);
    }
    if (!is_readable(header.format)) return;
    const bool same_matrix = header.transposed == header_.transposed && header.depth == depth() &&
                             header.columns == columns() && header.gates == gates;
    if (!same_matrix || packed.size() != kHeaderFloats + values(header.format)) {
      throw std::invalid_argument("packed: is not a packed form of its matrix");
    }
    use(header.format, packed);
  }

  // Allocates the packed form, and writes its header.
  void allocate(const Output& out, PackedFormat format) {
    const Tensor packed = out.allocate({kHeaderFloats + values(format)});
    use(format, packed);
    set_format(format);
  }
  void set_format(PackedFormat format) {
    header_.format = format;
    std::memcpy(values_ - kHeaderFloats, &header_, sizeof header_);
  }

  const Operand<float>& matrix() const { return matrix_; }
  int64_t depth() const { return header_.depth; }
  int64_t columns() const { return header_.columns; }

  BFloat16Weights bfloat16_words() const {
    return BFloat16Weights(reinterpret_cast<uint32_t*>(values_), matrix_.transposed, depth(),
                           columns());
  }

  template <typename E>
  PackedB<E> panels() const {
    return PackedB<E>(E::packed_depth(depth()), blocks().panels(gates()), values_);
  }

  // Calls `body` with the elements of the panels; returns whether there are any panels.
  template <typename Body>
  bool visit_panels(const Body& body) const {
    if (header_.format == kPanels) return body(Element{}), true;
#ifdef SEQ2SEQ_QUADS
    if (header_.format == PackedFormat::kInt8Panels) return body(Int8Quads{}), true;
#endif
    return false;
  }

  // C = A * weights + bias, which may be null, where there are no panels.
  template <typename A>
  void multiply_without_panels(const A* a, int64_t rows, const float* bias, float* c) const {
    if (rows > kMaxGemvRows) {
      return gemm<Element>(thread_pool(), Operand<A>{{a, depth()}}, matrix_, {c, columns()}, rows,
                           depth(), columns(), Epilogue::add_bias(bias));
    }
    for (int64_t i = 0; i < rows; ++i) {
      float* row = c + i * columns();
      bias ? std::memcpy(row, bias, columns() * sizeof(float))
           : std::memset(row, 0, columns() * sizeof(float));
    }
    std::vector<float> converted(std::is_same_v<A, float> ? 0 : rows * depth());
    const float* left = converted.data();
    if constexpr (std::is_same_v<A, float>) {
      left = a;
    } else {
      std::transform(a, a + rows * depth(), converted.begin(), [](A x) { return to_float(x); });
    }
    if (header_.format == PackedFormat::kBFloat16Words) {
      bfloat16_words().multiply(thread_pool(), {left, depth()}, {c, columns()}, rows);
    } else {
      gemv(thread_pool(), {left, depth()}, matrix_, {c, columns()}, rows, depth(), columns());
    }
  }

 private:
  // Whether products with rows of type T read a format.
  static bool is_readable(PackedFormat format) {
#ifdef SEQ2SEQ_QUADS
    if (format == PackedFormat::kInt8Panels) return true;
#endif
    return format == PackedFormat::kBFloat16Words || format == kPanels;
  }

  // The size of a format's values, in floats; -1 if this matrix cannot have that format.
  int64_t values(PackedFormat format) const {
    if (format == PackedFormat::kBFloat16Words) {
      return BFloat16Weights::supports(depth(), columns()) ? depth() * columns() / 2 : -1;
    }
    const int64_t panels = blocks().count * gates();
    if (format == kPanels) return PackedB<Element>::size(Element::packed_depth(depth()), panels);
#ifdef SEQ2SEQ_QUADS
    if (format == PackedFormat::kInt8Panels && Int8Quads::supports(depth())) {
      return PackedB<Int8Quads>::size(Int8Quads::packed_depth(depth()), panels);
    }
#endif
    return -1;
  }

  int gates() const { return static_cast<int>(header_.gates); }
  UnitBlocks blocks() const { return UnitBlocks(columns() / header_.gates); }

  void use(PackedFormat format, const Tensor& packed) {
    header_.format = format;
    values_ = packed.data<float>() + kHeaderFloats;
  }

  Operand<float> matrix_;
  PackedHeader header_{};
  float* values_ = nullptr;
};

// Packs the rows of x to multiply them with panels; in 8 bits they are quantized first.
template <typename Element, typename T>
void pack_rows(PackedA<Element>& packed, const T* x, int64_t rows, int64_t depth) {
  if constexpr (Element::kTrailer == 0) {
    packed.pack(thread_pool(), Operand<T>{{x, depth}}, 0, rows);
  } else {
    const Buffer elements(rows * Element::packed_depth(depth));
    packed.pack(thread_pool(), Element::quantize_a(thread_pool(), x, rows, depth, elements), 0,
                rows);
  }
}

}  // namespace seq2seq
