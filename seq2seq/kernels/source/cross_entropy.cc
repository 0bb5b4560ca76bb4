// The ops Seq2seqLogitStatistics and Seq2seqLogitStatisticsGradient.
//
// A layer's logits and what a cross-entropy needs of them, in one go: of each row the logarithm of
// the sum of exponentials, the label's logit and the mean. There is one array of logits; going back
// it becomes that of their gradients.
//
// Shapes: features (rows, dim), kernel (dim, classes) or, transposed, (classes, dim), bias (classes)
// or empty, labels (rows), statistics (rows). Rows with a negative label are left out: there are
// logits, (kept rows, classes), of the others only. All results are float32.
#include <cmath>
#include <limits>
#include <string>

#include "product.h"
#include "tensor.h"

namespace seq2seq {
namespace {

constexpr char kTransposed[] = "transposed";
constexpr int64_t kRowsOfGroup = 32;

struct Size {
  int64_t rows, dim, classes;
  bool transposed;
  Size(bool transposed, const Tensor& features, const Tensor& kernel)
      : rows(features.dim(0)),
        dim(features.dim(1)),
        classes(kernel.dim(transposed ? 0 : 1)),
        transposed(transposed) {}
  int64_t kernel_stride() const { return transposed ? dim : classes; }
};

float sum_of_lanes(Vector values) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += values[i];
  return sum;
}

struct Statistics {
  float log_normalizer, mean;
};

// Adds the bias to a row of logits and measures it; a row is read from the nearest cache.
Statistics measure(float* logits, const float* bias, int64_t classes) {
  const int64_t whole = classes / kLanes * kLanes;
  Vector highest = broadcast(-std::numeric_limits<float>::infinity()), sum{};
  float highest_rest = -std::numeric_limits<float>::infinity(), rest = 0;
  for (int64_t j = 0; j < whole; j += kLanes) {
    Vector value = load(logits + j);
    if (bias) store(logits + j, value += load(bias + j));
    highest = select(value > highest, value, highest);
    sum += value;
  }
  for (int64_t j = whole; j < classes; ++j) {
    if (bias) logits[j] += bias[j];
    highest_rest = std::max(highest_rest, logits[j]);
    rest += logits[j];
  }
  for (int i = 0; i < kLanes; ++i) highest_rest = std::max(highest_rest, highest[i]);
  const float mean = (sum_of_lanes(sum) + rest) / static_cast<float>(classes);
  Vector exponentials{};
  for (int64_t j = 0; j < whole; j += kLanes) exponentials += exp(load(logits + j) - highest_rest);
  float total = sum_of_lanes(exponentials);
  for (int64_t j = whole; j < classes; ++j) total += std::exp(logits[j] - highest_rest);
  return {highest_rest + std::log(total), mean};
}

// Turns a row of logits into the gradient d_log_normalizer * softmax + d_mean / classes.
void differentiate(float* logits, int64_t classes, float log_normalizer, float d_log_normalizer,
                   float d_mean) {
  const float share = d_mean / static_cast<float>(classes);
  int64_t j = 0;
  for (; j + kLanes <= classes; j += kLanes) {
    store(logits + j, exp(load(logits + j) - log_normalizer) * d_log_normalizer + share);
  }
  for (; j < classes; ++j) {
    logits[j] = std::exp(logits[j] - log_normalizer) * d_log_normalizer + share;
  }
}

// The rows that have a label, and where their features start.
struct KeptRows {
  std::vector<int64_t> rows, offsets;

  KeptRows(const Tensor& labels, const Size& size) {
    for (int64_t i = 0; i < size.rows; ++i) {
      const int32_t label = labels.data<int32_t>()[i];
      if (label >= size.classes) {
        throw std::out_of_range("label " + std::to_string(label) + " is not one of " +
                                std::to_string(size.classes) + " classes");
      }
      if (label < 0) continue;
      rows.push_back(i);
      offsets.push_back(i * size.dim);
    }
  }
  int64_t count() const { return static_cast<int64_t>(rows.size()); }
};

void clear(const Tensor& tensor) {
  std::memset(tensor.data<float>(), 0, tensor.size() * sizeof(float));
}

void forward(bool transposed, const Call& call) {
  const Tensor features = call.input(0), kernel = call.input(1), bias = call.input(2),
               labels = call.input(3);
  const Size size(transposed, features, kernel);
  const KeptRows kept(labels, size);
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
    multiply(threads(), Operand<T>{{features.data<T>(), size.dim, kept.offsets.data()}},
             Operand<T>{{kernel.data<T>(), size.kernel_stride()}, size.transposed},
             {logits.data<float>(), size.classes}, kept.count(), size.dim, size.classes);
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
  threads().run(kept.count(), [&](int64_t i) {
    float* row = logits.data<float>() + i * size.classes;
    const Statistics statistics = measure(row, biases, size.classes);
    const int64_t to = kept.rows[i];
    log_normalizers.data<float>()[to] = statistics.log_normalizer;
    means.data<float>()[to] = statistics.mean;
    label_logits.data<float>()[to] = row[labels.data<int32_t>()[to]];
  });
}

void backward(bool transposed, const Call& call) {
  const Tensor features = call.input(0), kernel = call.input(1), labels = call.input(2),
               log_normalizers = call.input(4),
               d_log_normalizers = call.input(5), d_label_logits = call.input(6),
               d_means = call.input(7);
  const Size size(transposed, features, kernel);
  const KeptRows kept(labels, size);
  const Tensor d_features = call.output(0, {size.rows, size.dim});
  const Tensor d_kernel = call.output(1, {kernel.dim(0), kernel.dim(1)});
  const Tensor d_bias = call.output(2, {size.classes});
  const float* logits = call.input_data<float>(3);
  const Tensor d_logits = call.output(3, {kept.count(), size.classes}, 3);
  float* d = d_logits.data<float>();
  const Threads::Turn turn(threads());
  if (kept.count() < size.rows) clear(d_features);
  // Rows are summed for the bias in groups while they are in the cache, then the groups.
  const Pieces groups(kept.count(), kRowsOfGroup);
  Buffer sums(groups.count * size.classes);
  threads().run(groups.count, [&](int64_t g) {
    float* sum = sums.data() + g * size.classes;
    std::memset(sum, 0, size.classes * sizeof(float));
    for (int64_t i = groups.begin(g); i < groups.begin(g + 1); ++i) {
      float* row = d + i * size.classes;
      const float* from = logits + i * size.classes;
      const int64_t at = kept.rows[i];
      if (row != from) std::memcpy(row, from, size.classes * sizeof(float));
      differentiate(row, size.classes, log_normalizers.data<float>()[at],
                    d_log_normalizers.data<float>()[at], d_means.data<float>()[at]);
      row[labels.data<int32_t>()[at]] += d_label_logits.data<float>()[at];
      for (int64_t j = 0; j < size.classes; ++j) sum[j] += row[j];
    }
  });
  sum_rows(threads(), {sums.data(), size.classes}, groups.count, size.classes,
           d_bias.data<float>());
  const auto run = [&](auto type) {
    using T = decltype(type);
    const Matrix<const T> x{features.data<T>(), size.dim, kept.offsets.data()};
    const Matrix<const T> w{kernel.data<T>(), size.kernel_stride()};
    const Matrix<const float> g{d, size.classes};
    const Matrix<float> d_weights{d_kernel.data<float>(), size.kernel_stride()};
    multiply(threads(), Operand<float>{g}, Operand<T>{w, !size.transposed},
             {d_features.data<float>(), size.dim, kept.offsets.data()}, kept.count(), size.classes,
             size.dim);
    if (size.transposed) {
      multiply(threads(), Operand<float>{g, true}, Operand<T>{x}, d_weights, size.classes,
               kept.count(), size.dim);
    } else {
      multiply(threads(), Operand<T>{x, true}, Operand<float>{g}, d_weights, size.dim,
               kept.count(), size.classes);
    }
  };
  call.takes_bfloat16() ? run(BFloat16{}) : run(float{});
}

const bool registered =
    register_op<kTransposed, forward>(
        {"Seq2seqLogitStatistics",
         {"features: T", "kernel: T", "bias: float", "labels: int32"},
         {"logits: float", "log_normalizers: float", "label_logits: float", "means: float"},
         {kMatrixType}}) &&
    register_op<kTransposed, backward>(
        {"Seq2seqLogitStatisticsGradient",
         {"features: T", "kernel: T", "labels: int32", "logits: float", "log_normalizers: float",
          "d_log_normalizers: float", "d_label_logits: float", "d_means: float"},
         {"d_features: float", "d_kernel: float", "d_bias: float", "d_logits: float"},
         {kMatrixType}});

}  // namespace
}  // namespace seq2seq
