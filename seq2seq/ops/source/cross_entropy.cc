// The ops Seq2seqLogitStatistics, Seq2seqLogitDivergences and Seq2seqLogitStatisticsGradient.
//
// A layer's logits and what a cross-entropy needs of them, in one go: of each row the logarithm of
// the sum of exponentials, the label's logit and the mean. There is one array of logits; going back
// it becomes that of their gradients.
//
// Shapes: features (rows, dim), kernel (dim, classes) or, transposed, (classes, dim), bias (classes)
// or empty, labels (rows), statistics (rows). Rows with a negative label are left out: there are
// logits, (kept rows, classes), of the others only. All results are float32.
//
// Rows may be pairs, row i and row i + rows / 2 with the same label: then there also are divergences,
// (rows / 2), KL(p || q) + KL(q || p) of a pair's distributions p and q. With z the logits that is
// the sum of (p - q) (z_p - z_q), so that both normalizers cancel; differences, (rows), are the means
// of z_p - z_q under p (first half) and under q (second half).
#include <cmath>
#include <limits>
#include <string>

#include "product.h"
#include "shapes.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kRowsOfGroup = 32;

struct Size {
  int64_t rows, dim, classes;
  bool transposed;
  Size(bool transposed, const Tensor& features, const Tensor& kernel) : transposed(transposed) {
    expect("features", features, {kAny, kAny});
    rows = features.dim(0), dim = features.dim(1);
    expect("kernel", kernel, transposed ? Dims{kAny, dim} : Dims{dim, kAny});
    classes = kernel.dim(transposed ? 0 : 1);
  }
  int64_t kernel_stride() const { return transposed ? dim : classes; }
};

struct Statistics {
  float log_normalizer, mean;
};

// Calls `body` with the position of each whole vector, and the number of a sum that it goes into: of
// several, since an addition has to wait for the one before it.
constexpr int kSums = 4;
template <typename Body>
void in_turn(int64_t size, const Body& body) {
  int64_t j = 0;
  for (; j + kSums * kLanes <= size; j += kSums * kLanes) {
    for (int s = 0; s < kSums; ++s) body(j + s * kLanes, s);
  }
  for (; j + kLanes <= size; j += kLanes) body(j, 0);
}

Vector sum_of(const Vector (&sums)[kSums]) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }

// Measures a row of logits; it is read from the nearest cache the second time.
Statistics measure(const float* logits, int64_t classes) {
  const int64_t whole = classes / kLanes * kLanes;
  const Vector lowest = broadcast(-std::numeric_limits<float>::infinity());
  Vector peaks[kSums] = {lowest, lowest, lowest, lowest}, sums[kSums] = {};
  in_turn(whole, [&](int64_t j, int s) {
    const Vector value = load(logits + j);
    peaks[s] = larger(value, peaks[s]);
    sums[s] += value;
  });
  float sum = sum_of_lanes(sum_of(sums));
  float highest = highest_lane(larger(larger(peaks[0], peaks[1]), larger(peaks[2], peaks[3])));
  for (int64_t j = whole; j < classes; ++j) {
    highest = std::max(highest, logits[j]);
    sum += logits[j];
  }
  Vector exponentials[kSums] = {};
  in_turn(whole, [&](int64_t j, int s) { exponentials[s] += exp(load(logits + j) - highest); });
  float total = sum_of_lanes(sum_of(exponentials));
  for (int64_t j = whole; j < classes; ++j) total += std::exp(logits[j] - highest);
  return {highest + std::log(total), sum / static_cast<float>(classes)};
}

// What a row's gradient is made of.
struct Slopes {
  float log_normalizer, d_log_normalizer, d_mean, difference;
};

// Turns a row of logits into the gradient d_log_normalizer * softmax + d_mean / classes.
void differentiate(float* logits, int64_t classes, const Slopes& of) {
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
  const int64_t whole = classes / kLanes * kLanes;
  Vector under_first{}, under_second{};
  for (int64_t j = 0; j < whole; j += kLanes) {
    const Vector a = load(first + j), b = load(second + j), difference = a - b;
    under_first += exp(a - log_normalizers.first) * difference;
    under_second += exp(b - log_normalizers.second) * difference;
  }
  PairStatistics means{sum_of_lanes(under_first), sum_of_lanes(under_second)};
  for (int64_t j = whole; j < classes; ++j) {
    const float difference = first[j] - second[j];
    means.first += std::exp(first[j] - log_normalizers.first) * difference;
    means.second += std::exp(second[j] - log_normalizers.second) * difference;
  }
  return means;
}

// As `differentiate`, for both rows of a pair, whose divergence has a gradient, too.
void differentiate_pair(float* first, float* second, int64_t classes, const Slopes& of_first,
                        const Slopes& of_second, float d_divergence) {
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
    Vector a = load(first + j), b = load(second + j);
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
struct KeptRows {
  std::vector<int64_t> rows, offsets;

  KeptRows(const Tensor& labels, int64_t of_rows, int64_t classes, int64_t dim) {
    expect("labels", labels, {of_rows});
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
  int64_t pairs(int64_t of_rows) const {
    const int64_t half = count() / 2;
    if (of_rows % 2 || count() % 2) throw std::invalid_argument("rows are no pairs");
    for (int64_t k = 0; k < half; ++k) {
      if (rows[k] + of_rows / 2 != rows[k + half]) throw std::invalid_argument("rows are no pairs");
    }
    return half;
  }
};

void clear(const Tensor& tensor) {
  std::memset(tensor.data<float>(), 0, tensor.size() * sizeof(float));
}

void forward(bool transposed, const Call& call) {
  const Tensor features = call.input(0), kernel = call.input(1), bias = call.input(2),
               labels = call.input(3);
  const Size size(transposed, features, kernel);
  const KeptRows kept(labels, size.rows, size.classes, size.dim);
  expect_or_none("bias", bias, {size.classes});
  const Tensor logits = call.output(0, {kept.count(), size.classes});
  const Tensor log_normalizers = call.output(1, {size.rows});
  const Tensor label_logits = call.output(2, {size.rows});
  const Tensor means = call.output(3, {size.rows});
  clear(log_normalizers);
  clear(label_logits);
  clear(means);
  const float* biases = bias.size() ? bias.data<float>() : nullptr;
  const Threads::Turn turn(threads());
  const auto run = [&](auto type) {
    using T = decltype(type);
    multiply<WordsOf<T>>(threads(), Operand<T>{{features.data<T>(), size.dim, kept.offsets.data()}},
                         Operand<float>{{kernel.data<float>(), size.kernel_stride()}, size.transposed},
                         {logits.data<float>(), size.classes}, kept.count(), size.dim,
                         size.classes, Onto{false, biases});
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
  threads().run(kept.count(), [&](int64_t i) {
    const float* row = logits.data<float>() + i * size.classes;
    const Statistics statistics = measure(row, size.classes);
    const int64_t to = kept.rows[i];
    log_normalizers.data<float>()[to] = statistics.log_normalizer;
    means.data<float>()[to] = statistics.mean;
    label_logits.data<float>()[to] = row[labels.data<int32_t>()[to]];
  });
}

void diverge(bool, const Call& call) {
  const Tensor logits = call.input(0), labels = call.input(1), log_normalizers = call.input(2);
  expect("logits", logits, {kAny, kAny});
  expect("labels", labels, {kAny});
  const int64_t rows = labels.dim(0), classes = logits.dim(1);
  const KeptRows kept(labels, rows, classes, 0);
  expect("logits", logits, {kept.count(), classes});
  expect("log_normalizers", log_normalizers, {rows});
  const Tensor divergences = call.output(0, {rows / 2}), differences = call.output(1, {rows});
  clear(divergences);
  clear(differences);
  const int64_t pairs = kept.pairs(rows);
  const Threads::Turn turn(threads());
  threads().run(pairs, [&](int64_t k) {
    const int64_t first = kept.rows[k], second = kept.rows[k + pairs];
    const float* normalizers = log_normalizers.data<float>();
    const PairStatistics means =
        mean_differences(logits.data<float>() + k * classes,
                         logits.data<float>() + (k + pairs) * classes, classes,
                         {normalizers[first], normalizers[second]});
    differences.data<float>()[first] = means.first;
    differences.data<float>()[second] = means.second;
    divergences.data<float>()[first] = means.first - means.second;
  });
}

void backward(bool transposed, const Call& call) {
  const Tensor features = call.input(0), kernel = call.input(1), labels = call.input(2),
               log_normalizers = call.input(4),
               d_log_normalizers = call.input(5), d_label_logits = call.input(6),
               d_means = call.input(7), differences = call.input(8), d_divergences = call.input(9);
  const Size size(transposed, features, kernel);
  const KeptRows kept(labels, size.rows, size.classes, size.dim);
  expect("logits", call.input(3), {kept.count(), size.classes});
  expect("log_normalizers", log_normalizers, {size.rows});
  expect("d_log_normalizers", d_log_normalizers, {size.rows});
  expect("d_label_logits", d_label_logits, {size.rows});
  expect("d_means", d_means, {size.rows});
  expect_or_none("d_divergences", d_divergences, {size.rows / 2});
  const bool are_pairs = d_divergences.size() > 0;
  are_pairs ? expect("differences", differences, {size.rows})
            : expect_or_none("differences", differences, {size.rows});
  const Tensor d_features = call.output(0, {size.rows, size.dim});
  const Tensor d_kernel = call.output(1, {kernel.dim(0), kernel.dim(1)});
  const Tensor d_bias = call.output(2, {size.classes});
  const float* logits = call.input_data<float>(3);
  const Tensor d_logits = call.output(3, {kept.count(), size.classes}, 3);
  float* d = d_logits.data<float>();
  const Threads::Turn turn(threads());
  if (kept.count() < size.rows) clear(d_features);
  const int64_t pairs = are_pairs ? kept.pairs(size.rows) : 0;
  const auto slopes = [&](int64_t at) {
    return Slopes{log_normalizers.data<float>()[at], d_log_normalizers.data<float>()[at],
                  d_means.data<float>()[at], pairs ? differences.data<float>()[at] : 0};
  };
  const auto row_of = [&](int64_t k) {
    float* row = d + k * size.classes;
    const float* from = logits + k * size.classes;
    if (row != from) std::memcpy(row, from, size.classes * sizeof(float));
    return row;
  };
  // Rows are summed for the bias in groups while they are in the cache, then the groups.
  const Pieces groups(pairs ? pairs : kept.count(), kRowsOfGroup);
  Buffer sums(groups.count * size.classes);
  threads().run(groups.count, [&](int64_t g) {
    float* sum = sums.data() + g * size.classes;
    std::memset(sum, 0, size.classes * sizeof(float));
    const auto finish = [&](float* row, int64_t at) {
      row[labels.data<int32_t>()[at]] += d_label_logits.data<float>()[at];
      for (int64_t j = 0; j < size.classes; ++j) sum[j] += row[j];
    };
    for (int64_t k = groups.begin(g); k < groups.begin(g + 1); ++k) {
      const int64_t at = kept.rows[k];
      float* row = row_of(k);
      if (pairs) {
        const int64_t other = kept.rows[k + pairs];
        float* partner = row_of(k + pairs);
        differentiate_pair(row, partner, size.classes, slopes(at), slopes(other),
                           d_divergences.data<float>()[at]);
        finish(partner, other);
      } else {
        differentiate(row, size.classes, slopes(at));
      }
      finish(row, at);
    }
  });
  sum_rows(threads(), Matrix<const float>{sums.data(), size.classes}, groups.count, size.classes,
           d_bias.data<float>());
  const auto run = [&](auto type) {
    using T = decltype(type);
    using Words = WordsOf<T>;
    const Matrix<const T> x{features.data<T>(), size.dim, kept.offsets.data()};
    const Matrix<const float> w{kernel.data<float>(), size.kernel_stride()};
    const Matrix<const float> g{d, size.classes};
    const Matrix<float> d_weights{d_kernel.data<float>(), size.kernel_stride()};
    multiply<Words>(threads(), Operand<float>{g}, Operand<float>{w, !size.transposed},
                    {d_features.data<float>(), size.dim, kept.offsets.data()}, kept.count(),
                    size.classes, size.dim);
    if (size.transposed) {
      multiply<Words>(threads(), Operand<float>{g, true}, Operand<T>{x}, d_weights, size.classes,
                      kept.count(), size.dim);
    } else {
      multiply<Words>(threads(), Operand<T>{x, true}, Operand<float>{g}, d_weights, size.dim,
                      kept.count(), size.classes);
    }
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

const bool registered =
    register_op<kTransposed, forward>(
        {"Seq2seqLogitStatistics",
         {"features: T", "kernel: float", "bias: float", "labels: int32"},
         {"logits: float", "log_normalizers: float", "label_logits: float", "means: float"},
         {kMatrixType}}) &&
    register_op<kNoFlag, diverge>({"Seq2seqLogitDivergences",
                                   {"logits: float", "labels: int32", "log_normalizers: float"},
                                   {"divergences: float", "differences: float"},
                                   {}}) &&
    register_op<kTransposed, backward>(
        {"Seq2seqLogitStatisticsGradient",
         {"features: T", "kernel: float", "labels: int32", "logits: float", "log_normalizers: float",
          "d_log_normalizers: float", "d_label_logits: float", "d_means: float",
          "differences: float", "d_divergences: float"},
         {"d_features: float", "d_kernel: float", "d_bias: float", "d_logits: float"},
         {kMatrixType}});

}  // namespace
}  // namespace seq2seq
