// The microkernels for vector registers: a function for each kind of element and number of rows.
#include <utility>

#include "int8_quads.h"
#include "microkernel.h"

namespace seq2seq {
namespace {

template <typename Element, int... rows>
constexpr MicrokernelsByRows make_microkernels(std::integer_sequence<int, rows...> /*rows*/) {
  return {nullptr, microkernel<Element, rows + 1>...};
}

using Rows = std::make_integer_sequence<int, RegisterTiles::kRows>;

}  // namespace

template <>
const MicrokernelsByRows Compiled<Float32>::kMicrokernels = make_microkernels<Float32>(Rows{});
#ifdef SEQ2SEQ_PAIRS
template <>
const MicrokernelsByRows Compiled<BFloat16Pairs>::kMicrokernels =
    make_microkernels<BFloat16Pairs>(Rows{});
#endif
#ifdef SEQ2SEQ_QUADS
template <>
const MicrokernelsByRows Compiled<Int8Quads>::kMicrokernels = make_microkernels<Int8Quads>(Rows{});
#endif

}  // namespace seq2seq
