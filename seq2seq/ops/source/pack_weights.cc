// The op Seq2seqPack: packs a matrix of weights once for all steps of a search (packed_weights.h).
//
// Shapes: example (any, inputs), of x's type; matrix (inputs, outputs), or (outputs, inputs) if
// `transposed`; rows, the number of rows of x at the first step; gates, whose columns lie side by
// side; packed (size).
//
//   eight_bits, depth at most 2,040, AVX-512 VNNI   ->  kInt8Panels
//   more than kMaxUnpackedRows rows                 ->  kBFloat16Panels if x is bfloat16 and this
//                                                       processor multiplies it, or kFloat32Panels
//   fewer, and all values are (or x is) bfloat16    ->  kBFloat16Words
//   else                                            ->  empty: packing would outlast the products
#include "packed_weights.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kMaxUnpackedRows = 2;  // a beam has several times as many after the first step

struct PackInputs {
  static constexpr const char* kSpecs[] = {"example: T", "matrix: float", "rows: int32",
                                           "gates: int32", "eight_bits: bool"};
  Tensor example, matrix, rows, gates, eight_bits;
};
struct PackOutputs {
  static constexpr const char* kSpecs[] = {"packed: float"};
  Output packed;
};

template <typename T>
void pack_for_few_rows(Weights<T>& weights, const float* matrix, const Output& packed) {
  constexpr bool kRounds = Weights<T>::Element::kValues > 1;
  const int64_t depth = weights.depth(), columns = weights.columns();
  if (!BFloat16Weights::supports(depth, columns) ||
      !(kRounds || BFloat16Weights::seems_lossless(matrix, depth, columns))) {
    packed.allocate({0});
    return;
  }
  weights.allocate(packed, PackedFormat::kBFloat16Words);
  const bool lossless = weights.bfloat16_words().pack(thread_pool(), matrix);
  if (!kRounds && !lossless) weights.set_format(PackedFormat::kNone);
}

template <typename T>
void pack_as(const PackInputs& in, const PackOutputs& out, bool transposed) {
  const int64_t rows = scalar<int32_t>("rows", in.rows);
  const int gates = scalar<int32_t>("gates", in.gates);
  const bool eight_bits = scalar<bool>("eight_bits", in.eight_bits);
  Weights<T> weights(in.matrix, transposed, gates);
  if (rows < 0) throw std::invalid_argument("rows: must be at least 0");
  if (gates < 1 || weights.columns() % gates) {
    throw std::invalid_argument("gates: the matrix' columns must fall into so many parts");
  }
  const ThreadPool::KernelScope scope(thread_pool());
#ifdef SEQ2SEQ_QUADS
  const int64_t depth = weights.depth(), columns = weights.columns();
  if (eight_bits && Int8Quads::supports(depth)) {
    const Buffer elements(Int8Quads::packed_depth(depth) * columns);
    const Operand<float> quantized =
        Int8Quads::quantize_b(thread_pool(), weights.matrix(), depth, columns, elements);
    weights.allocate(out.packed, PackedFormat::kInt8Panels);
    weights.template panels<Int8Quads>().pack(thread_pool(), quantized);
    return;
  }
#else
  static_cast<void>(eight_bits);
#endif
  if (rows > kMaxUnpackedRows) {
    weights.allocate(out.packed, Weights<T>::kPanels);
    weights.template panels<typename Weights<T>::Element>().pack(thread_pool(), weights.matrix());
    return;
  }
  pack_for_few_rows(weights, in.matrix.data<float>(), out.packed);
}

void pack(const PackInputs& in, const PackOutputs& out, bool transposed) {
  dispatch_type(in.example.is_bfloat16(),
                [&](auto type) { pack_as<decltype(type)>(in, out, transposed); });
}

const bool registered = register_op<pack, kTransposed>("Seq2seqPack", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
