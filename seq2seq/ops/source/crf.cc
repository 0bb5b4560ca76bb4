// The op Seq2seqBestLabels: the best labels of a linear-chain CRF, and how probable they are.
//
//   score(y) = sum over steps s of logits(s, y_s) + transitions(y_(s-1), y_s), boundaries included
//   Viterbi:           best(s, j) = logits(s, j) + max_i (best(s - 1, i) + transitions(i, j))
//   forward-backward:  the same with sums of exponentials, in both directions, scaled at each step
//   probabilities(s) = p(y_s = best label at s)
//
// Shapes: logits (batch, steps, labels), transitions (labels + 1, labels + 1), whose last row leads
// to the first label and whose last column follows the last one; lengths (batch); best and
// probabilities (batch, steps), 0 at padding; scores and log_normalizers (batch), 0 for a row
// without steps. Threads share the batch.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "shape_checks.h"
#include "thread_pool.h"

namespace seq2seq {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kForbidden = -1e4f;  // FORBIDDEN of ops/crf.py
constexpr double kTiny = 1e-300;

struct BestLabelsInputs {
  static constexpr const char* kSpecs[] = {"logits: float", "transitions: float", "lengths: int32"};
  Tensor logits, transitions, lengths;
};
struct BestLabelsOutputs {
  static constexpr const char* kSpecs[] = {"best: int32", "scores: float", "probabilities: float",
                                           "log_normalizers: float"};
  Output best, scores, probabilities, log_normalizers;
};

// The transitions and their exponentials, both also transposed.
struct Transitions {
  int64_t labels;
  std::vector<float> to, from;  // (labels + 1, labels + 1) and its transpose, -inf if forbidden
  std::vector<double> weights, transposed_weights;  // exponentials, up to the factor exp(shift)
  float shift;

  Transitions(const float* values, int64_t labels)
      : labels(labels), shift(*std::max_element(values, values + size() * size())) {
    for (auto* matrix : {&to, &from}) matrix->resize(size() * size());
    for (auto* matrix : {&weights, &transposed_weights}) matrix->resize(size() * size());
    for (int64_t i = 0; i < size(); ++i) {
      for (int64_t j = 0; j < size(); ++j) {
        const float value = values[i * size() + j];
        to[i * size() + j] = from[j * size() + i] = value > kForbidden / 2 ? value : kMinusInfinity;
        weights[i * size() + j] = transposed_weights[j * size() + i] =
            std::exp(static_cast<double>(value - shift));
      }
    }
  }
  int64_t size() const { return labels + 1; }
};

struct Row {
  const float* logits;  // (length, labels)
  int64_t length;
};

// Viterbi (1967): the scores of the best paths to each label of each step, and the path backwards.
// Returns the score of the best path.
float viterbi(const Row& row, const Transitions& t, std::vector<float>& scores, int32_t* best) {
  const int64_t n = t.labels;
  scores.resize(row.length * n);
  const float* first = t.to.data() + n * t.size();
  for (int64_t j = 0; j < n; ++j) scores[j] = first[j] + row.logits[j];
  for (int64_t s = 1; s < row.length; ++s) {
    const float* previous = scores.data() + (s - 1) * n;
    float* current = scores.data() + s * n;
    std::fill(current, current + n, kMinusInfinity);
    for (int64_t i = 0; i < n; ++i) {
      const float* to = t.to.data() + i * t.size();
      for (int64_t j = 0; j < n; ++j) current[j] = std::max(current[j], previous[i] + to[j]);
    }
    for (int64_t j = 0; j < n; ++j) current[j] += row.logits[s * n + j];
  }
  float score = kMinusInfinity;
  int64_t label = n;  // the boundary behind the last step
  for (int64_t s = row.length - 1; s >= 0; --s) {
    const float *current = scores.data() + s * n, *from = t.from.data() + label * t.size();
    float highest = kMinusInfinity;
    int64_t best_label = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (current[i] + from[i] > highest) highest = current[i] + from[best_label = i];
    }
    if (s == row.length - 1) score = highest;
    best[s] = static_cast<int32_t>(label = best_label);
  }
  return score;
}

// Computes the message of a step to the next one, scaled to a sum of 1; returns the log of the
// scale.
double pass_message(const double* message, const double* potentials,
                    const std::vector<double>& weights, int64_t n, std::vector<double>& state,
                    double* next) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += state[i] = message[i] * potentials[i];
  sum = std::max(sum, kTiny);
  std::fill(next, next + n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    const double share = state[i] / sum;
    const double* to = weights.data() + i * (n + 1);
    for (int64_t j = 0; j < n; ++j) next[j] += share * to[j];
  }
  return std::log(sum);
}

// What a thread needs for a row.
struct Scratch {
  std::vector<float> scores;
  std::vector<double> potentials, forward, backward, state;
};

// The forward-backward algorithm (Rabiner, 1989), in float64 as in ops/crf.py: the probabilities of
// given labels. Returns the log-normalizer.
double label_probabilities(const Row& row, const Transitions& t, const int32_t* labels,
                           Scratch& scratch, float* probabilities) {
  const int64_t n = t.labels, last = row.length - 1;
  for (auto* array : {&scratch.potentials, &scratch.forward}) array->resize((row.length + 1) * n);
  for (auto* array : {&scratch.backward, &scratch.state}) array->resize(2 * n);
  double normalizer = t.shift * static_cast<double>(row.length + 1);
  std::copy_n(t.weights.data() + n * t.size(), n, scratch.forward.data());
  for (int64_t s = 0; s <= last; ++s) {
    const float* logits = row.logits + s * n;
    const float peak = *std::max_element(logits, logits + n);
    double* potentials = scratch.potentials.data() + s * n;
    for (int64_t i = 0; i < n; ++i) potentials[i] = std::exp(static_cast<double>(logits[i]) - peak);
    const double log_scale = pass_message(scratch.forward.data() + s * n, potentials, t.weights, n,
                                          scratch.state, scratch.forward.data() + (s + 1) * n);
    normalizer += peak + (s < last ? log_scale : 0.0);
  }
  double *backward = scratch.backward.data(), *next = backward + n;
  std::copy_n(t.transposed_weights.data() + n * t.size(), n, backward);
  for (int64_t s = last; s >= 0; --s) {
    const double *forward = scratch.forward.data() + s * n,
                 *potentials = scratch.potentials.data() + s * n;
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += forward[i] * potentials[i] * backward[i];
    total = std::max(total, kTiny);
    if (s == last) normalizer += std::log(total);
    const int64_t label = labels[s];
    probabilities[s] =
        static_cast<float>(forward[label] * potentials[label] * backward[label] / total);
    pass_message(backward, potentials, t.transposed_weights, n, scratch.state, next);
    std::swap(backward, next);
  }
  return normalizer;
}

void best_labels(const BestLabelsInputs& in, const BestLabelsOutputs& out) {
  expect_shape("logits", in.logits, {kAny, kAny, kAny});
  const int64_t batch = in.logits.dim(0), steps = in.logits.dim(1), labels = in.logits.dim(2);
  expect_shape("transitions", in.transitions, {labels + 1, labels + 1});
  expect_shape("lengths", in.lengths, {batch});
  if (labels < 1) throw std::invalid_argument("logits: must be of at least one label");
  const Tensor best = out.best.allocate({batch, steps}), scores = out.scores.allocate({batch}),
               probabilities = out.probabilities.allocate({batch, steps}),
               normalizers = out.log_normalizers.allocate({batch});
  const Transitions transitions(in.transitions.data<float>(), labels);
  const ThreadPool::KernelScope scope(thread_pool());
  thread_pool().parallel_for(batch, [&](int64_t b) {
    thread_local Scratch scratch;
    const int64_t length = std::clamp<int64_t>(in.lengths.data<int32_t>()[b], 0, steps);
    const Row row{in.logits.data<float>() + b * steps * labels, length};
    int32_t* labels_of_row = best.data<int32_t>() + b * steps;
    float* probabilities_of_row = probabilities.data<float>() + b * steps;
    std::fill(labels_of_row + length, labels_of_row + steps, 0);
    std::fill(probabilities_of_row + length, probabilities_of_row + steps, 0.f);
    float score = 0;
    double normalizer = 0;
    if (length > 0) {
      score = viterbi(row, transitions, scratch.scores, labels_of_row);
      normalizer =
          label_probabilities(row, transitions, labels_of_row, scratch, probabilities_of_row);
    }
    scores.data<float>()[b] = score;
    normalizers.data<float>()[b] = static_cast<float>(normalizer);
  });
}

const bool registered = register_op<best_labels>("Seq2seqBestLabels", {});

}  // namespace
}  // namespace seq2seq
