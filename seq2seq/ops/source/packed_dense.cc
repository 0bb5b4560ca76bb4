// The ops Seq2seqPackedDense, x * matrix + bias, and Seq2seqPackedTanhDense, the tanh of it, with
// packed weights (packed_weights.h).
//
// Shapes: x (rows, inputs), matrix (inputs, outputs), or (outputs, inputs) if `transposed`, packed
// as Seq2seqPack made it of the matrix, bias (outputs) or empty, y (rows, outputs).
//
//   pack all rows of x
//   in parallel, for groups of kPanelsPerTask panels, 32 columns each
//     y's columns = x * panel + bias
#include "elementwise.h"
#include "packed_weights.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";

struct PackedDenseInputs {
  static constexpr const char* kSpecs[] = {"x: T", "matrix: float", "packed: float", "bias: float"};
  Tensor x, matrix, packed, bias;
};
struct PackedDenseOutputs {
  static constexpr const char* kSpecs[] = {"y: float"};
  Output y;
};
struct PackedTanhDenseOutputs {
  static constexpr const char* kSpecs[] = {"y: T"};
  Output y;
};

template <typename T>
Weights<T> checked_weights(const PackedDenseInputs& in, bool transposed) {
  const Weights<T> weights(in.matrix, transposed, 1, in.packed);
  expect_shape("x", in.x, {kAny, weights.depth()});
  expect_shape_or_empty("bias", in.bias, {weights.columns()});
  return weights;
}

template <typename T>
void multiply(const Tensor& x, const Weights<T>& weights, const float* bias, float* y) {
  const int64_t rows = x.dim(0), columns = weights.columns();
  const bool has_panels = weights.visit_panels([&](auto element) {
    using Element = decltype(element);
    PackedA<Element> packed_x(rows, Element::packed_depth(weights.depth()));
    pack_rows(packed_x, x.data<T>(), rows, weights.depth());
    const PackedB<Element> panels = weights.template panels<Element>();
    const Partition groups(panels.panels(), kPanelsPerTask);
    thread_pool().parallel_for(groups.count, [&](int64_t group) {
      for (int64_t p = groups.begin(group); p < groups.begin(group + 1); ++p) {
        panels.multiply(packed_x, p, {y, columns}, p * kTileColumns, Epilogue::add_bias(bias));
      }
    });
  });
  if (!has_panels) weights.multiply_without_panels(x.data<T>(), rows, bias, y);
}

void dense(const PackedDenseInputs& in, const PackedDenseOutputs& out, bool transposed) {
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    const Weights<T> weights = checked_weights<T>(in, transposed);
    const Tensor y = out.y.allocate({in.x.dim(0), weights.columns()});
    const ThreadPool::KernelScope scope(thread_pool());
    multiply(in.x, weights, in.bias.data_or_null<float>(), y.data<float>());
  });
}

void tanh_dense(const PackedDenseInputs& in, const PackedTanhDenseOutputs& out) {
  dispatch_type(in.x.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    const Weights<T> weights = checked_weights<T>(in, false);
    const Tensor y = out.y.allocate({in.x.dim(0), weights.columns()});
    const ThreadPool::KernelScope scope(thread_pool());
    const Buffer sums(y.size());
    multiply(in.x, weights, in.bias.data_or_null<float>(), sums.data());
    parallel_for_vectors(thread_pool(), y.size(), [&](int64_t i, int count) {
      store(y.data<T>() + i, tanh(load(sums.data() + i, count)), count);
    });
  });
}

const bool registered = register_op<dense, kTransposed>("Seq2seqPackedDense", {kMatrixTypes}) &&
                        register_op<tanh_dense>("Seq2seqPackedTanhDense", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
