// Tests of matrix products and of packing, without TensorFlow: each kind of product against three
// loops in float64, on sizes that are no multiples of tiles, vectors or blocks.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "bfloat16_weights.h"
#include "cpp_test.h"
#include "gemm.h"
#include "gemv.h"
#include "int8_quads.h"
#include "small_gemm.h"

using namespace seq2seq;  // NOLINT(google-build-using-namespace)

namespace {

struct Sizes {
  int64_t rows, depth, columns;
};

// Fewer than a tile, just above one, several depth blocks, several row blocks, no depth at all.
constexpr Sizes kSizes[] = {{1, 1, 1},      {3, 5, 7},      {14, 32, 32}, {15, 33, 31},
                            {29, 100, 130}, {40, 1100, 17}, {49, 70, 64}, {2060, 9, 5},
                            {17, 17, 300},  {5, 0, 6},      {0, 4, 4},    {4, 4, 0}};

std::mt19937& generator() {
  static std::mt19937 generator(7);  // NOLINT(bugprone-random-generator-seed): the same each time
  return generator;
}

std::vector<float> random_values(int64_t size) {
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(generator());
  return values;
}

BFloat16 to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

std::vector<BFloat16> to_bfloat16(const std::vector<float>& values) {
  std::vector<BFloat16> result;
  result.reserve(values.size());
  for (const float value : values) result.push_back(to_bfloat16(value));
  return result;
}

std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = to_float(to_bfloat16(value));
  return values;
}

std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t columns) {
  std::vector<float> result(values.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) result[j * rows + i] = values[i * columns + j];
  }
  return result;
}

// C += A * B in three loops, for A (rows, depth) and B (depth, columns).
std::vector<float> naive(const std::vector<float>& a, const std::vector<float>& b, Sizes s,
                         std::vector<float> c) {
  for (int64_t i = 0; i < s.rows; ++i) {
    for (int64_t j = 0; j < s.columns; ++j) {
      double sum = c[i * s.columns + j];
      for (int64_t k = 0; k < s.depth; ++k) {
        sum += static_cast<double>(a[i * s.depth + k]) * b[k * s.columns + j];
      }
      c[i * s.columns + j] = static_cast<float>(sum);
    }
  }
  return c;
}

void expect_near(const std::vector<float>& c, const std::vector<float>& expected,
                 float tolerance = 1e-3f) {
  EXPECT_TRUE(c.size() == expected.size());
  for (size_t i = 0; i < c.size(); ++i) EXPECT_NEAR(c[i], expected[i], tolerance);
}

template <typename T>
Operand<T> operand(const std::vector<T>& values, int64_t stride, bool is_transposed = false) {
  return {{values.data(), stride}, is_transposed};
}

TEST(gemm_of_float32_with_all_transpositions) {
  for (const Sizes s : kSizes) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    const auto a_t = transposed(a, s.rows, s.depth), b_t = transposed(b, s.depth, s.columns);
    const auto expected = naive(a, b, s, std::vector<float>(s.rows * s.columns));
    for (const bool transposes_a : {false, true}) {
      for (const bool transposes_b : {false, true}) {
        std::vector<float> c(s.rows * s.columns, NAN);
        gemm<Float32>(thread_pool(),
                      transposes_a ? operand(a_t, s.rows, true) : operand(a, s.depth),
                      transposes_b ? operand(b_t, s.depth, true) : operand(b, s.columns),
                      {c.data(), s.columns}, s.rows, s.depth, s.columns);
        expect_near(c, expected);
      }
    }
  }
}

TEST(gemm_accumulates_or_adds_a_bias) {
  for (const Sizes s : kSizes) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    const auto before = random_values(s.rows * s.columns), bias = random_values(s.columns);
    std::vector<float> rows_of_bias;
    for (int64_t i = 0; i < s.rows; ++i) {
      rows_of_bias.insert(rows_of_bias.end(), bias.begin(), bias.end());
    }
    std::vector<float> accumulated = before, biased(before.size());
    gemm<Float32>(thread_pool(), operand(a, s.depth), operand(b, s.columns),
                  {accumulated.data(), s.columns}, s.rows, s.depth, s.columns,
                  Epilogue::accumulate_into_c());
    gemm<Float32>(thread_pool(), operand(a, s.depth), operand(b, s.columns),
                  {biased.data(), s.columns}, s.rows, s.depth, s.columns,
                  Epilogue::add_bias(bias.data()));
    expect_near(accumulated, naive(a, b, s, before));
    expect_near(biased, naive(a, b, s, rows_of_bias));
  }
}

TEST(gemm_reads_and_writes_gathered_rows) {
  const Sizes s{5, 40, 33};
  const auto a = random_values(9 * s.depth), b = random_values(s.depth * s.columns);
  const int64_t rows_of_a[] = {8, 0, 3, 3, 1}, rows_of_c[] = {4, 2, 0, 1, 3};
  int64_t a_offsets[5], c_offsets[5];
  std::vector<float> gathered;
  for (int i = 0; i < 5; ++i) {
    a_offsets[i] = rows_of_a[i] * s.depth;
    c_offsets[i] = rows_of_c[i] * s.columns;
    gathered.insert(gathered.end(), a.begin() + a_offsets[i], a.begin() + a_offsets[i] + s.depth);
  }
  const auto expected = naive(gathered, b, s, std::vector<float>(s.rows * s.columns));
  std::vector<float> c(s.rows * s.columns);
  gemm<Float32>(thread_pool(), Operand<float>{{a.data(), 0, a_offsets}}, operand(b, s.columns),
                {c.data(), 0, c_offsets}, s.rows, s.depth, s.columns);
  for (int i = 0; i < 5; ++i) {
    const auto row = c.begin() + c_offsets[i];
    expect_near({row, row + s.columns},
                {expected.begin() + i * s.columns, expected.begin() + (i + 1) * s.columns});
  }
}

TEST(products_with_a_shared_b) {
  const Sizes first{20, 50, 70}, second{3, 50, 70};
  const auto a = random_values(20 * 50), other = random_values(3 * 50), b = random_values(50 * 70);
  std::vector<float> c(20 * 70), other_c(3 * 70);
  gemm_shared_b<Float32>(thread_pool(), operand(b, 70), 50, 70,
                         GemmTask<float>{operand(a, 50), {c.data(), 70}, 0, 20},
                         GemmTask<float>{operand(other, 50), {other_c.data(), 70}, 0, 3});
  expect_near(c, naive(a, b, first, std::vector<float>(c.size())));
  expect_near(other_c, naive(other, b, second, std::vector<float>(other_c.size())));
}

TEST(gemm_of_bfloat16) {
  for (const Sizes s : kSizes) {
    const auto a = rounded(random_values(s.rows * s.depth)),
               b = rounded(random_values(s.depth * s.columns));
    const auto a_t = transposed(a, s.rows, s.depth), b_t = transposed(b, s.depth, s.columns);
    const auto expected = naive(a, b, s, std::vector<float>(s.rows * s.columns));
    using Element = PackedElement<BFloat16>;
    std::vector<float> c(s.rows * s.columns, NAN), c_of_transposed = c, c_of_floats = c;
    gemm<Element>(thread_pool(), operand(to_bfloat16(a), s.depth),
                  operand(to_bfloat16(b), s.columns), {c.data(), s.columns}, s.rows, s.depth,
                  s.columns);
    gemm<Element>(thread_pool(), operand(to_bfloat16(a_t), s.rows, true),
                  operand(to_bfloat16(b_t), s.depth, true), {c_of_transposed.data(), s.columns},
                  s.rows, s.depth, s.columns);
    gemm<Element>(thread_pool(), operand(a, s.depth), operand(b_t, s.depth, true),
                  {c_of_floats.data(), s.columns}, s.rows, s.depth, s.columns);
    expect_near(c, expected, 5e-3f);
    expect_near(c_of_transposed, expected, 5e-3f);
    expect_near(c_of_floats, expected, 5e-3f);
  }
}

TEST(products_with_packed_weights) {
  for (const Sizes s : kSizes) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    std::vector<PanelColumns> columns;
    for (int64_t j = 0; j < s.columns; j += kTileColumns) {
      columns.push_back({j, static_cast<int>(std::min<int64_t>(kTileColumns, s.columns - j))});
    }
    const Buffer memory(PackedB<Float32>::size(s.depth, columns.size()));
    PackedB<Float32> packed_b(s.depth, columns, memory.data());
    packed_b.pack(thread_pool(), operand(b, s.columns));
    PackedA<Float32> packed_a(s.rows, s.depth);
    packed_a.pack(thread_pool(), operand(a, s.depth), 0, s.rows);
    std::vector<float> c(s.rows * s.columns);
    for (int64_t p = 0; p < packed_b.panels(); ++p) {
      packed_b.multiply(packed_a, p, {c.data(), s.columns}, columns[p].begin, {});
    }
    expect_near(c, naive(a, b, s, std::vector<float>(c.size())));
  }
}

TEST(products_of_few_rows) {
  for (const Sizes s : {Sizes{1, 64, 96}, Sizes{3, 65, 97}, Sizes{8, 7, 600}, Sizes{2, 320, 32}}) {
    const auto a = random_values(s.rows * s.depth), b = rounded(random_values(s.depth * s.columns));
    const auto b_t = transposed(b, s.depth, s.columns), before = random_values(s.rows * s.columns);
    const auto expected = naive(a, b, s, before);
    for (const bool is_transposed : {false, true}) {
      const auto& matrix = is_transposed ? b_t : b;
      std::vector<float> c = before;
      gemv(thread_pool(), {a.data(), s.depth},
           operand(matrix, is_transposed ? s.depth : s.columns, is_transposed),
           {c.data(), s.columns}, s.rows, s.depth, s.columns);
      expect_near(c, expected);
      if (!BFloat16Weights::supports(s.depth, s.columns)) continue;
      std::vector<uint32_t> words(s.depth * s.columns / 2);
      const BFloat16Weights weights(words.data(), is_transposed, s.depth, s.columns);
      EXPECT_TRUE(weights.pack(thread_pool(), matrix.data()));
      c = before;
      weights.multiply(thread_pool(), {a.data(), s.depth}, {c.data(), s.columns}, s.rows);
      expect_near(c, expected);
    }
  }
}

TEST(rounding_of_bfloat16_weights_is_noticed) {
  auto matrix = rounded(random_values(int64_t{64} * 32));
  std::vector<uint32_t> words(64 * 32 / 2);
  const BFloat16Weights weights(words.data(), false, 64, 32);
  EXPECT_TRUE(BFloat16Weights::supports(64, 32));
  EXPECT_TRUE(!BFloat16Weights::supports(63, 32));
  EXPECT_TRUE(BFloat16Weights::seems_lossless(matrix.data(), 64, 32));
  matrix.back() = 0.1f;
  EXPECT_TRUE(!weights.pack(thread_pool(), matrix.data()));
}

TEST(small_products) {
  for (const Sizes s : {Sizes{1, 1, 1}, Sizes{9, 20, 37}, Sizes{7, 13, 64}, Sizes{20, 3, 5}}) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    const auto a_t = transposed(a, s.rows, s.depth), b_t = transposed(b, s.depth, s.columns);
    const auto expected = naive(a, b, s, std::vector<float>(s.rows * s.columns));
    std::vector<float> c(s.rows * s.columns), c_of_a_t = c, c_of_b_t = c;
    small_gemm<float>(TransposableView::of(a.data(), s.depth), {b.data(), s.columns},
                      {c.data(), s.columns}, s.rows, s.depth, s.columns);
    small_gemm<float>(TransposableView::transposed(a_t.data(), s.rows), {b.data(), s.columns},
                      {c_of_a_t.data(), s.columns}, s.rows, s.depth, s.columns);
    small_gemm_transposed_b<float>({a.data(), s.depth}, {b_t.data(), s.depth},
                                   {c_of_b_t.data(), s.columns}, s.rows, s.depth, s.columns);
    expect_near(c, expected);
    expect_near(c_of_a_t, expected);
    expect_near(c_of_b_t, expected);
  }
}

TEST(packing_puts_elements_of_one_depth_side_by_side) {
  const int64_t depth = 37, columns = 33;
  const auto b = random_values(depth * columns), b_t = transposed(b, depth, columns);
  for (const bool is_transposed : {false, true}) {
    const auto of_b = is_transposed ? operand(b_t, depth, true) : operand(b, columns);
    std::vector<float> panel(depth * kTileColumns, NAN);
    pack_b_panel<Float32>(of_b, {0, depth}, 1, 5, panel.data());
    std::vector<float> tile(depth * 3, NAN);
    pack_a_tile<Float32>(is_transposed ? operand(b, columns, true) : operand(b_t, depth), 2, 3,
                         {4, depth - 4}, tile.data());
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < kTileColumns; ++j) {
        EXPECT_TRUE(panel[k * kTileColumns + j] == (j < 5 ? b[k * columns + 1 + j] : 0.f));
      }
      for (int64_t i = 0; i < 3 && k >= 4; ++i) {
        EXPECT_TRUE(tile[(k - 4) * 3 + i] == b_t[(2 + i) * depth + k]);
      }
    }
  }
}

TEST(partitions_are_even) {
  for (int64_t size = 0; size < 50; ++size) {
    const Partition parts(size, 7);
    int64_t end = 0;
    for (int64_t p = 0; p < parts.count; ++p) {
      EXPECT_TRUE(parts.begin(p) == end && parts.length(p) > 0 && parts.length(p) <= 7);
      end += parts.length(p);
    }
    EXPECT_TRUE(end == size);
  }
  const Partition in_units(70, 32, 16);
  EXPECT_TRUE(in_units.count == 3 && in_units.begin(1) == 16 && in_units.begin(2) == 48);
  EXPECT_TRUE(in_units.begin(3) == 70 && in_units.length(2) == 22);
}

// More threads than panels, so that they share the rows of a panel, and fewer.
TEST(gemm_is_the_same_on_any_number_of_threads) {
  for (const Sizes s : {Sizes{700, 96, 70}, Sizes{1500, 3000, 20}, Sizes{129, 40, 200}}) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    std::vector<float> alone(s.rows * s.columns, NAN);
    gemm<Float32>(single_thread(), operand(a, s.depth), operand(b, s.columns),
                  {alone.data(), s.columns}, s.rows, s.depth, s.columns);
    expect_near(alone, naive(a, b, s, std::vector<float>(s.rows * s.columns)), 1e-2f);
    for (const int threads : {3, 24}) {
      auto& pool = *new ThreadPool(threads);  // its threads never end
      std::vector<float> c(s.rows * s.columns, NAN);
      gemm<Float32>(pool, operand(a, s.depth), operand(b, s.columns), {c.data(), s.columns}, s.rows,
                    s.depth, s.columns);
      EXPECT_TRUE(c == alone);
    }
  }
}

TEST(threads_are_limited_by_variables_and_by_a_cgroup) {
  const int unlimited = available_processors();
  setenv("SEQ2SEQ_THREADS", "1", 1);
  EXPECT_TRUE(available_processors() == 1);
  setenv("SEQ2SEQ_THREADS", "100000", 1);
  EXPECT_TRUE(available_processors() == unlimited);
  unsetenv("SEQ2SEQ_THREADS");
  const auto processors = [](const char* content) {
    char path[] = "/tmp/cpu.max.XXXXXX";
    const int file = mkstemp(path);
    EXPECT_TRUE(write(file, content, std::strlen(content)) > 0);
    close(file);
    const int64_t count = cgroup_processors(path);
    unlink(path);
    return count;
  };
  EXPECT_TRUE(processors("max 100000\n") == 0);
  EXPECT_TRUE(processors("150000 100000\n") == 2);
  EXPECT_TRUE(processors("400000 100000\n") == 4);
  EXPECT_TRUE(cgroup_processors("/no/such/file") == 0);
}

#if defined(SEQ2SEQ_PAIRS) || defined(SEQ2SEQ_AMX)
TEST(packing_of_bfloat16_pairs) {
  const int64_t depth = 5, columns = 3;
  const auto b = rounded(random_values(depth * columns));
  std::vector<float> panel(BFloat16Pairs::elements(depth) * kTileColumns, NAN);
  pack_b_panel<BFloat16Pairs>(operand(b, columns), {0, depth}, 0, columns, panel.data());
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = 0; j < columns; ++j) {
      uint32_t pair;
      std::memcpy(&pair, &panel[k / 2 * kTileColumns + j], sizeof pair);
      const BFloat16 value{static_cast<uint16_t>(k % 2 ? pair >> 16 : pair)};
      EXPECT_TRUE(to_float(value) == b[k * columns + j]);
      if (k == depth - 1) EXPECT_TRUE(pair >> 16 == 0);
    }
  }
}
#endif

#ifdef SEQ2SEQ_QUADS
// A row of A, or a column of B, in integers and its scale.
struct Quantized {
  std::vector<int> integers;
  float scale;
};

Quantized quantize(const float* values, int64_t stride, int64_t depth) {
  float peak = 0;
  for (int64_t k = 0; k < depth; ++k) peak = std::max(peak, std::abs(values[k * stride]));
  Quantized result{{}, peak / 127};
  for (int64_t k = 0; k < depth; ++k) {
    const float inverse = peak > 0 ? 127 / peak : 0;
    result.integers.push_back(static_cast<int>(std::nearbyint(values[k * stride] * inverse)));
  }
  return result;
}

TEST(products_of_int8_quads) {
  for (const Sizes s :
       {Sizes{1, 1, 1}, Sizes{3, 5, 7}, Sizes{15, 64, 33}, Sizes{20, Int8Quads::kMaxDepth, 40}}) {
    const auto a = random_values(s.rows * s.depth), b = random_values(s.depth * s.columns);
    const auto b_t = transposed(b, s.depth, s.columns);
    const int64_t depth = Int8Quads::packed_depth(s.depth);
    const Buffer quantized_a(s.rows * depth), quantized_b(depth * s.columns);
    for (const bool is_transposed : {false, true}) {
      const auto of_b = is_transposed ? operand(b_t, s.depth, true) : operand(b, s.columns);
      std::vector<float> c(s.rows * s.columns);
      gemm<Int8Quads>(thread_pool(),
                      Int8Quads::quantize_a(thread_pool(), a.data(), s.rows, s.depth, quantized_a),
                      Int8Quads::quantize_b(thread_pool(), of_b, s.depth, s.columns, quantized_b),
                      {c.data(), s.columns}, s.rows, depth, s.columns);
      for (int64_t i = 0; i < s.rows; ++i) {
        const Quantized row = quantize(a.data() + i * s.depth, 1, s.depth);
        for (int64_t j = 0; j < s.columns; ++j) {
          const Quantized column = quantize(b.data() + j, s.columns, s.depth);
          int64_t sum = 0;
          for (int64_t k = 0; k < s.depth; ++k) sum += row.integers[k] * column.integers[k];
          const double expected = static_cast<double>(sum) * row.scale * column.scale;
          EXPECT_NEAR(c[i * s.columns + j], expected, 1e-5 * std::abs(expected) + 1e-6);
        }
      }
    }
  }
}

TEST(depth_limit_of_int8_quads) {
  const int64_t deepest = Int8Quads::kMaxDepth;
  EXPECT_TRUE(Int8Quads::supports(deepest) && !Int8Quads::supports(deepest + 1));
  EXPECT_TRUE(Int8Quads::packed_depth(deepest) <= kDepthBlock);
  EXPECT_TRUE(Int8Quads::packed_depth(deepest + 1) > kDepthBlock);
}
#endif

}  // namespace

int main() { return run_tests(); }
