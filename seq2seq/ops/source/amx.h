// Products with Intel's AMX, whose eight tile registers hold 16 rows of 64 bytes. Elements of
// bfloat16 or 8 bits (packed_element.h) are multiplied in tiles of 16 x 16, two by two of them:
//
//                        B panel, 16 elements of depth
//                              +-------+-------+
//                              | tmm 6 | tmm 7 |    16 x 16 elements each, loaded from the panel
//                              +-------+-------+
//   A tile, 16 elements  tmm 4 | tmm 0 | tmm 1 |    sums of 16 rows x 16 columns in float32,
//   of depth             tmm 5 | tmm 2 | tmm 3 |    or of integers
//   (16 or 32 rows)            +-------+-------+
//
// A tile of A is packed by 16 elements of depth, so that tmm 4 and tmm 5 are loaded from one piece
// of memory; missing rows, and what is missing to 16 elements of depth, are zeros:
//
//   [ row 0: 16 elements | row 1: 16 elements | ... ] [ row 0: the next 16 elements | ... ]
//
// The sums are stored in a buffer, from which the epilogue takes them row by row.
//
// Instructions: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
#pragma once

#ifdef SEQ2SEQ_AMX

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "microkernel.h"
#include "packing.h"

namespace seq2seq {

// The operand of LDTILECFG: eight registers of 16 rows of 64 bytes.
struct alignas(64) TileConfiguration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfiguration) == 64);
inline constexpr TileConfiguration kTileConfiguration{
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Configures this thread's tile registers, unless they are: other libraries use them, too.
inline void configure_tiles() {
  TileConfiguration current;
  _tile_storeconfig(&current);
  asm volatile("" : "+m"(current));  // GCC believes that 8 bytes were written
  if (std::memcmp(&current, &kTileConfiguration, sizeof current) != 0) {
    _tile_loadconfig(&kTileConfiguration);
  }
}

constexpr int kAmxLanes = 16;                         // rows, columns and elements of depth
constexpr int64_t kAmxRowBytes = 64;                  // of a packed tile of A
constexpr int64_t kPanelRowBytes = 2 * kAmxRowBytes;  // of a packed panel of B
static_assert(kTileColumns == 2 * kAmxLanes);

// Loads `values` values of a row of A, at most those of 16 elements; the others are zeros.
template <typename Element, typename T>
SimdFloat load_amx_row(const T* from, int64_t values) {
  if (values == kAmxLanes * Element::kValues) return Element::load_along_depth(from);
  float elements[kAmxLanes] = {};
  for (int64_t k = 0; k < values; k += Element::kValues) {
    elements[k / Element::kValues] = Element::load_element(from + k, values - k);
  }
  return load(elements);
}

// Packs a part of a tile of A for one register: at most 16 rows and 16 elements.
template <typename Element, typename T>
void pack_amx_register(const Operand<T>& a, int64_t row, int rows, DepthRange range,
                       float* packed) {
  SimdFloat block[kAmxLanes] = {};
  if (a.transposed) {
    const int64_t end = range.begin + range.depth;
    for (int64_t k = range.begin, i = 0; k < end; k += Element::kValues, ++i) {
      const T* next = k + 1 < end ? a.matrix.row(k + 1) + row : nullptr;
      block[i] = Element::load_across_depth(a.matrix.row(k) + row, next, rows);
    }
    transpose(block);
  } else {
    for (int i = 0; i < rows; ++i) {
      block[i] = load_amx_row<Element>(a.matrix.row(row + i) + range.begin, range.depth);
    }
  }
  for (int i = 0; i < kAmxLanes; ++i) store(packed + i * kAmxLanes, block[i]);
}

// Packs a tile of A: `rows` rows from `row` on, of the values in `range`.
template <typename Element, typename T>
void pack_amx_tile(const Operand<T>& a, int64_t row, int rows, DepthRange range, float* packed) {
  constexpr int64_t kValues = kAmxLanes * Element::kValues;
  for (int64_t k = 0; k < range.depth; k += kValues) {
    const DepthRange part{range.begin + k, std::min(kValues, range.depth - k)};
    for (int i = 0; i < rows; i += kAmxLanes, packed += kAmxLanes * kAmxLanes) {
      pack_amx_register<Element>(a, row + i, std::min(kAmxLanes, rows - i), part, packed);
    }
  }
}

// Multiplies the tiles of A with those of B, and adds the products to the sums.
#define SEQ2SEQ_MULTIPLY_TILES(multiply) \
  multiply(0, 4, 6);                     \
  multiply(1, 4, 7);                     \
  if (two) {                             \
    multiply(2, 5, 6);                   \
    multiply(3, 5, 7);                   \
  }

// Adds the products of `depth` elements of a tile of A, of 16 rows or of two times 16, and of a
// panel of B to zero, and stores the sums, which are integers if `Element` has a trailer.
template <typename Element, bool two>
void sum_amx_products(const float* a, const float* b, int64_t depth, PrefetchNext next,
                      float* sums) {
  constexpr int kRegister = kAmxLanes * kAmxLanes;  // elements
  _tile_zero(0);
  _tile_zero(1);
  if (two) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < depth; k += kAmxLanes) {
    for (int i = 0; next.first && i < kAmxLanes; ++i) {
      __builtin_prefetch(next.first + (k + i) * next.stride, 0, 2);
    }
    const float* left = a + k * (two ? 2 : 1) * kAmxLanes;
    _tile_loadd(6, b + k * kTileColumns, kPanelRowBytes);
    _tile_loadd(7, b + k * kTileColumns + kAmxLanes, kPanelRowBytes);
    _tile_loadd(4, left, kAmxRowBytes);
    if (two) _tile_loadd(5, left + kRegister, kAmxRowBytes);
    if constexpr (Element::kTrailer > 0) {
      SEQ2SEQ_MULTIPLY_TILES(_tile_dpbusd)
    } else {
      SEQ2SEQ_MULTIPLY_TILES(_tile_dpbf16ps)
    }
  }
  _tile_stored(0, sums, kPanelRowBytes);
  _tile_stored(1, sums + kAmxLanes, kPanelRowBytes);
  if (two) {
    _tile_stored(2, sums + 2 * kRegister, kPanelRowBytes);
    _tile_stored(3, sums + 2 * kRegister + kAmxLanes, kPanelRowBytes);
  }
}
#undef SEQ2SEQ_MULTIPLY_TILES

// The microkernel for AMX: as `microkernel`, for a tile of A that pack_amx_tile has packed.
template <typename Element>
void amx_microkernel(int rows, const float* a, const float* b, int64_t depth, const TileOfC& tile,
                     const Epilogue& epilogue, PrefetchNext next) {
  alignas(64) float sums[2 * kAmxLanes * kTileColumns];
  asm volatile("" ::: "memory");  // GCC does not know that the instructions read memory
  const bool two = rows > kAmxLanes;
  const int64_t last = depth - Element::kTrailer;
  const auto sum_products =
      two ? sum_amx_products<Element, true> : sum_amx_products<Element, false>;
  sum_products(a, b, last, next, sums);
  for (int i = 0; i < rows; ++i) {
    SimdFloat row[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) {
      row[v] = load(sums + i * kTileColumns + v * kLanes);
      if constexpr (Element::kTrailer > 0) {
        const float scale = a[last * (two ? 2 : 1) * kAmxLanes + i * kAmxLanes];
        row[v] = Element::dequantize(row[v], scale, b + last * kTileColumns + v * kLanes);
      }
    }
    store_row(row, i, tile, epilogue);
  }
}

}  // namespace seq2seq
#endif
