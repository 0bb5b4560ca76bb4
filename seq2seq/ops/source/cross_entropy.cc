// The ops Seq2seqLogitStatistics, Seq2seqLogitDivergences and Seq2seqLogitStatisticsGradient: what
// cross-entropies need of a layer's logits, so that no other array of their size is made.
//
//   logits = features kernel + bias
//   log_normalizers = log(sum of exp(logits))   label_logits = logits(label)   means = mean(logits)
//   d_logits = softmax(logits) * d_log_normalizer + d_mean / classes, + d_label_logit at the label
//   d_features = d_logits kernel^T               d_kernel = features^T d_logits
//
// Shapes: features (rows, dim), kernel (dim, classes) or, transposed, (classes, dim), bias
// (classes) or empty, labels (rows), statistics (rows). Rows with a negative label are left out:
// there are logits (labelled rows, classes) of the other ones only. All results are float32;
// d_logits take over the memory of the logits.
//
// Rows may be pairs, row i and row i + rows / 2 with the same label, of the distributions p and q
// and the logits z_p and z_q:
//
//   divergences (rows / 2) = KL(p || q) + KL(q || p) = sum of (p - q) * (z_p - z_q)
//   differences (rows)     = the means of z_p - z_q under p (first half) and under q (second half)
//
// The products are those of gemm.h; all else is done row by row, which threads share.
#include <cmath>
#include <limits>
#include <string>

#include "gemm.h"
#include "shape_checks.h"
#include "simd_math.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kRowsPerTask = 32;

struct StatisticsInputs {
  static constexpr const char* kSpecs[] = {"features: T", "kernel: float", "bias: float",
                                           "labels: int32"};
  Tensor features, kernel, bias, labels;
};
struct StatisticsOutputs {
  static constexpr const char* kSpecs[] = {"logits: float", "log_normalizers: float",
                                           "label_logits: float", "means: float"};
  Output logits, log_normalizers, label_logits, means;
};
struct DivergencesInputs {
  static constexpr const char* kSpecs[] = {"logits: float", "labels: int32",
                                           "log_normalizers: float"};
  Tensor logits, labels, log_normalizers;
};
struct DivergencesOutputs {
  static constexpr const char* kSpecs[] = {"divergences: float", "differences: float"};
  Output divergences, differences;
};
struct GradientInputs {
  static constexpr const char* kSpecs[] = {
      "features: T",           "kernel: float",          "labels: int32",
      "logits: float",         "log_normalizers: float", "d_log_normalizers: float",
      "d_label_logits: float", "d_means: float",         "differences: float",
      "d_divergences: float"};
  Tensor features, kernel, labels;
  ReusableInput logits;
  Tensor log_normalizers, d_log_normalizers, d_label_logits, d_means, differences, d_divergences;
};
struct GradientOutputs {
  static constexpr const char* kSpecs[] = {"d_features: float", "d_kernel: float", "d_bias: float",
                                           "d_logits: float"};
  Output d_features, d_kernel, d_bias, d_logits;
};

struct Sizes {
  int64_t rows, dim, classes;
  bool transposed;
  Sizes(bool transposed, const Tensor& features, const Tensor& kernel) : transposed(transposed) {
    expect_shape("features", features, {kAny, kAny});
    rows = features.dim(0), dim = features.dim(1);
    expect_shape("kernel", kernel, transposed ? Dims{kAny, dim} : Dims{dim, kAny});
    classes = kernel.dim(transposed ? 0 : 1);
  }
  int64_t kernel_stride() const { return transposed ? dim : classes; }
};

struct Statistics {
  float log_normalizer, mean;
};

// Calls `body` with the position of each full vector, and the number of the accumulator that it
// goes into: one of several, since an addition has to wait for the one before it.
constexpr int kSums = 4;
template <typename Body>
void for_each_accumulated(int64_t size, const Body& body) {
  int64_t j = 0;
  for (; j + kSums * kLanes <= size; j += kSums * kLanes) {
    for (int s = 0; s < kSums; ++s) body(j + s * kLanes, s);
  }
  for (; j + kLanes <= size; j += kLanes) body(j, 0);
}

SimdFloat total(const SimdFloat (&sums)[kSums]) {
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Measures a row of logits, in two passes: the second one finds it in the L1 cache.
Statistics measure(const float* logits, int64_t classes) {
  const int64_t in_vectors = classes / kLanes * kLanes;
  const SimdFloat lowest = broadcast(-std::numeric_limits<float>::infinity());
  SimdFloat peaks[kSums] = {lowest, lowest, lowest, lowest}, sums[kSums] = {};
  for_each_accumulated(in_vectors, [&](int64_t j, int s) {
    const SimdFloat value = load(logits + j);
    peaks[s] = max(value, peaks[s]);
    sums[s] += value;
  });
  float sum = reduce_sum(total(sums));
  float highest = reduce_max(max(max(peaks[0], peaks[1]), max(peaks[2], peaks[3])));
  for (int64_t j = in_vectors; j < classes; ++j) {
    highest = std::max(highest, logits[j]);
    sum += logits[j];
  }
  SimdFloat exponentials[kSums] = {};
  for_each_accumulated(
      in_vectors, [&](int64_t j, int s) { exponentials[s] += exp(load(logits + j) - highest); });
  float exponential_sum = reduce_sum(total(exponentials));
  for (int64_t j = in_vectors; j < classes; ++j) exponential_sum += std::exp(logits[j] - highest);
  return {highest + std::log(exponential_sum), sum / static_cast<float>(classes)};
}

// What the gradient of a row's logits is computed from.
struct RowGradient {
  float log_normalizer, d_log_normalizer, d_mean, difference;
};

// Turns a row of logits into the gradient d_log_normalizer * softmax + d_mean / classes.
void differentiate(float* logits, int64_t classes, const RowGradient& of) {
  const float share = of.d_mean / static_cast<float>(classes);
  int64_t j = 0;
  for (; j + kLanes <= classes; j += kLanes) {
    store(logits + j, exp(load(logits + j) - of.log_normalizer) * of.d_log_normalizer + share);
  }
  for (; j < classes; ++j) {
    logits[j] = std::exp(logits[j] - of.log_normalizer) * of.d_log_normalizer + share;
  }
}

struct PairStatistics {
  float first, second;
};

// The means of the differences of a pair's logits under both distributions.
PairStatistics mean_differences(const float* first, const float* second, int64_t classes,
                                PairStatistics log_normalizers) {
  const int64_t in_vectors = classes / kLanes * kLanes;
  SimdFloat under_first{}, under_second{};
  for (int64_t j = 0; j < in_vectors; j += kLanes) {
    const SimdFloat a = load(first + j), b = load(second + j), difference = a - b;
    under_first += exp(a - log_normalizers.first) * difference;
    under_second += exp(b - log_normalizers.second) * difference;
  }
  PairStatistics means{reduce_sum(under_first), reduce_sum(under_second)};
  for (int64_t j = in_vectors; j < classes; ++j) {
    const float difference = first[j] - second[j];
    means.first += std::exp(first[j] - log_normalizers.first) * difference;
    means.second += std::exp(second[j] - log_normalizers.second) * difference;
  }
  return means;
}

// As `differentiate`, for both rows of a pair, whose divergence has a gradient, too.
void differentiate_pair(float* first, float* second, int64_t classes, const RowGradient& of_first,
                        const RowGradient& of_second, float d_divergence) {
  const float share_first = of_first.d_mean / static_cast<float>(classes);
  const float share_second = of_second.d_mean / static_cast<float>(classes);
  const auto run = [&](auto& a, auto& b, const auto& p, const auto& q) {
    const auto difference = a - b;
    const auto apart = (p - q) * d_divergence;
    a = p * (of_first.d_log_normalizer + d_divergence * (difference - of_first.difference)) +
        share_first + apart;
    b = q * (of_second.d_log_normalizer - d_divergence * (difference - of_second.difference)) +
        share_second - apart;
  };
  int64_t j = 0;
  for (; j + kLanes <= classes; j += kLanes) {
    SimdFloat a = load(first + j), b = load(second + j);
    run(a, b, exp(a - of_first.log_normalizer), exp(b - of_second.log_normalizer));
    store(first + j, a);
    store(second + j, b);
  }
  for (; j < classes; ++j) {
    run(first[j], second[j], std::exp(first[j] - of_first.log_normalizer),
        std::exp(second[j] - of_second.log_normalizer));
  }
}

// The rows that have a label, and where their features start.
struct LabelledRows {
  std::vector<int64_t> rows, offsets;

  LabelledRows(const Tensor& labels, int64_t all_rows, int64_t classes, int64_t dim) {
    expect_shape("labels", labels, {all_rows});
    for (int64_t i = 0; i < labels.dim(0); ++i) {
      const int32_t label = labels.data<int32_t>()[i];
      if (label >= classes) {
        throw std::out_of_range("label " + std::to_string(label) + " is not one of " +
                                std::to_string(classes) + " classes");
      }
      if (label < 0) continue;
      rows.push_back(i);
      offsets.push_back(i * dim);
    }
  }
  int64_t count() const { return static_cast<int64_t>(rows.size()); }
  // Returns the number of pairs; throws if a labelled row has no partner.
  int64_t pairs(int64_t all_rows) const {
    const int64_t half = count() / 2;
    if (all_rows % 2 || count() % 2) throw std::invalid_argument("rows are no pairs");
    for (int64_t k = 0; k < half; ++k) {
      if (rows[k] + all_rows / 2 != rows[k + half])
        throw std::invalid_argument("rows are no pairs");
    }
    return half;
  }
};

void set_to_zero(const Tensor& tensor) {
  std::memset(tensor.data<float>(), 0, tensor.size() * sizeof(float));
}

void forward(const StatisticsInputs& in, const StatisticsOutputs& out, bool transposed) {
  const Sizes sizes(transposed, in.features, in.kernel);
  const LabelledRows labelled(in.labels, sizes.rows, sizes.classes, sizes.dim);
  expect_shape_or_empty("bias", in.bias, {sizes.classes});
  const Tensor logits = out.logits.allocate({labelled.count(), sizes.classes});
  const Tensor log_normalizers = out.log_normalizers.allocate({sizes.rows});
  const Tensor label_logits = out.label_logits.allocate({sizes.rows});
  const Tensor means = out.means.allocate({sizes.rows});
  set_to_zero(log_normalizers);
  set_to_zero(label_logits);
  set_to_zero(means);
  const ThreadPool::KernelScope scope(thread_pool());
  dispatch_type(in.features.is_bfloat16(), [&](auto type) {
    using T = decltype(type);
    gemm<PackedElement<T>>(
        thread_pool(), Operand<T>{{in.features.data<T>(), sizes.dim, labelled.offsets.data()}},
        Operand<float>{{in.kernel.data<float>(), sizes.kernel_stride()}, transposed},
        {logits.data<float>(), sizes.classes}, labelled.count(), sizes.dim, sizes.classes,
        Epilogue::add_bias(in.bias.data_or_null<float>()));
  });
  thread_pool().parallel_for(labelled.count(), [&](int64_t i) {
    const float* row = logits.data<float>() + i * sizes.classes;
    const Statistics statistics = measure(row, sizes.classes);
    const int64_t to = labelled.rows[i];
    log_normalizers.data<float>()[to] = statistics.log_normalizer;
    means.data<float>()[to] = statistics.mean;
    label_logits.data<float>()[to] = row[in.labels.data<int32_t>()[to]];
  });
}

void diverge(const DivergencesInputs& in, const DivergencesOutputs& out) {
  expect_shape("logits", in.logits, {kAny, kAny});
  expect_shape("labels", in.labels, {kAny});
  const int64_t rows = in.labels.dim(0), classes = in.logits.dim(1);
  const LabelledRows labelled(in.labels, rows, classes, 0);
  expect_shape("logits", in.logits, {labelled.count(), classes});
  expect_shape("log_normalizers", in.log_normalizers, {rows});
  const Tensor divergences = out.divergences.allocate({rows / 2});
  const Tensor differences = out.differences.allocate({rows});
  set_to_zero(divergences);
  set_to_zero(differences);
  const int64_t pairs = labelled.pairs(rows);
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(pairs, [&](int64_t k) {
    const int64_t first = labelled.rows[k], second = labelled.rows[k + pairs];
    const float *logits = in.logits.data<float>(), *normalizers = in.log_normalizers.data<float>();
    const PairStatistics means =
        mean_differences(logits + k * classes, logits + (k + pairs) * classes, classes,
                         {normalizers[first], normalizers[second]});
    differences.data<float>()[first] = means.first;
    differences.data<float>()[second] = means.second;
    divergences.data<float>()[first] = means.first - means.second;
  });
}

void check_gradients(const GradientInputs& in, const Sizes& sizes, const LabelledRows& labelled) {
  expect_shape("logits", in.logits, {labelled.count(), sizes.classes});
  expect_shape("log_normalizers", in.log_normalizers, {sizes.rows});
  expect_shape("d_log_normalizers", in.d_log_normalizers, {sizes.rows});
  expect_shape("d_label_logits", in.d_label_logits, {sizes.rows});
  expect_shape("d_means", in.d_means, {sizes.rows});
  expect_shape_or_empty("d_divergences", in.d_divergences, {sizes.rows / 2});
  in.d_divergences.size() > 0 ? expect_shape("differences", in.differences, {sizes.rows})
                              : expect_shape_or_empty("differences", in.differences, {sizes.rows});
}

// Turns the logits into their gradients, d_logits, and sums these for the bias: groups of rows
// while they are in the cache, then the groups.
void differentiate_logits(const GradientInputs& in, const Sizes& sizes,
                          const LabelledRows& labelled, int64_t pairs, const float* logits,
                          float* d_logits, float* d_bias) {
  const auto gradient_of_row = [&](int64_t at) {
    return RowGradient{in.log_normalizers.data<float>()[at], in.d_log_normalizers.data<float>()[at],
                       in.d_means.data<float>()[at], pairs ? in.differences.data<float>()[at] : 0};
  };
  const auto row_of_logits = [&](int64_t k) {
    float* row = d_logits + k * sizes.classes;
    const float* from = logits + k * sizes.classes;
    if (row != from) std::memcpy(row, from, sizes.classes * sizeof(float));
    return row;
  };
  const Partition groups(pairs ? pairs : labelled.count(), kRowsPerTask);
  const Buffer sums(groups.count * sizes.classes);
  thread_pool().parallel_for(groups.count, [&](int64_t g) {
    float* sum = sums.data() + g * sizes.classes;
    std::memset(sum, 0, sizes.classes * sizeof(float));
    const auto finish = [&](float* row, int64_t at) {
      row[in.labels.data<int32_t>()[at]] += in.d_label_logits.data<float>()[at];
      for (int64_t j = 0; j < sizes.classes; ++j) sum[j] += row[j];
    };
    for (int64_t k = groups.begin(g); k < groups.begin(g + 1); ++k) {
      const int64_t at = labelled.rows[k];
      float* row = row_of_logits(k);
      if (pairs) {
        const int64_t partner_at = labelled.rows[k + pairs];
        float* partner = row_of_logits(k + pairs);
        differentiate_pair(row, partner, sizes.classes, gradient_of_row(at),
                           gradient_of_row(partner_at), in.d_divergences.data<float>()[at]);
        finish(partner, partner_at);
      } else {
        differentiate(row, sizes.classes, gradient_of_row(at));
      }
      finish(row, at);
    }
  });
  sum_rows(thread_pool(), MatrixView<const float>{sums.data(), sizes.classes}, groups.count,
           sizes.classes, d_bias);
}

// Computes the gradients of features and kernel from those of the logits.
template <typename T>
void multiply_gradients(const GradientInputs& in, const Sizes& sizes, const LabelledRows& labelled,
                        const float* d_logits, float* d_features, float* d_kernel) {
  using Element = PackedElement<T>;
  const MatrixView<const T> x{in.features.data<T>(), sizes.dim, labelled.offsets.data()};
  const MatrixView<const float> kernel{in.kernel.data<float>(), sizes.kernel_stride()};
  const MatrixView<const float> d{d_logits, sizes.classes};
  const MatrixView<float> d_weights{d_kernel, sizes.kernel_stride()};
  gemm<Element>(thread_pool(), Operand<float>{d}, Operand<float>{kernel, !sizes.transposed},
                {d_features, sizes.dim, labelled.offsets.data()}, labelled.count(), sizes.classes,
                sizes.dim);
  if (sizes.transposed) {
    gemm<Element>(thread_pool(), Operand<float>{d, true}, Operand<T>{x}, d_weights, sizes.classes,
                  labelled.count(), sizes.dim);
  } else {
    gemm<Element>(thread_pool(), Operand<T>{x, true}, Operand<float>{d}, d_weights, sizes.dim,
                  labelled.count(), sizes.classes);
  }
}

void backward(const GradientInputs& in, const GradientOutputs& out, bool transposed) {
  const Sizes sizes(transposed, in.features, in.kernel);
  const LabelledRows labelled(in.labels, sizes.rows, sizes.classes, sizes.dim);
  check_gradients(in, sizes, labelled);
  const Tensor d_features = out.d_features.allocate({sizes.rows, sizes.dim});
  const Tensor d_kernel = out.d_kernel.allocate(in.kernel.dims());
  const Tensor d_bias = out.d_bias.allocate({sizes.classes});
  const Tensor d_logits = out.d_logits.allocate({labelled.count(), sizes.classes}, in.logits);
  const ThreadPool::KernelScope scope(thread_pool());
  if (labelled.count() < sizes.rows) set_to_zero(d_features);
  const int64_t pairs = in.d_divergences.size() > 0 ? labelled.pairs(sizes.rows) : 0;
  differentiate_logits(in, sizes, labelled, pairs, in.logits.data<float>(), d_logits.data<float>(),
                       d_bias.data<float>());
  dispatch_type(in.features.is_bfloat16(), [&](auto type) {
    multiply_gradients<decltype(type)>(in, sizes, labelled, d_logits.data<float>(),
                                       d_features.data<float>(), d_kernel.data<float>());
  });
}

const bool registered =
    register_op<forward, kTransposed>("Seq2seqLogitStatistics", {kMatrixTypes}) &&
    register_op<diverge>("Seq2seqLogitDivergences", {}) &&
    register_op<backward, kTransposed>("Seq2seqLogitStatisticsGradient", {kMatrixTypes});

}  // namespace
}  // namespace seq2seq
