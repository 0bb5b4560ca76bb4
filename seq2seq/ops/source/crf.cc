// The op Seq2seqBestLabels: the best labels of a linear chain, and how probable they are.
//
// Shapes: logits (batch, steps, labels), transitions (labels + 1, labels + 1), whose last row leads
// to the first label and whose last column follows the last one; lengths (batch); best and
// probabilities (batch, steps), 0 at padding; scores and log_normalizers (batch), 0 for a row
// without steps.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "shapes.h"
#include "threads.h"

namespace seq2seq {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kForbidden = -1e4f;  // FORBIDDEN of layers/crf.py
constexpr double kTiny = 1e-300;

// The transitions, as they are and as factors, both also turned round.
struct Transitions {
  int64_t labels;
  std::vector<float> from, to;            // (labels + 1, labels + 1), -inf where not allowed
  std::vector<double> weights, reversed;  // their exponentials, up to the factor exp(shift)
  float shift;

  Transitions(const float* values, int64_t labels)
      : labels(labels), shift(*std::max_element(values, values + size() * size())) {
    for (auto* each : {&from, &to}) each->resize(size() * size());
    for (auto* each : {&weights, &reversed}) each->resize(size() * size());
    for (int64_t i = 0; i < size(); ++i) {
      for (int64_t j = 0; j < size(); ++j) {
        const float value = values[i * size() + j];
        to[i * size() + j] = from[j * size() + i] = value > kForbidden / 2 ? value : kNever;
        weights[i * size() + j] = reversed[j * size() + i] = std::exp(double(value - shift));
      }
    }
  }
  int64_t size() const { return labels + 1; }
};

struct Row {
  const float* logits;  // (length, labels)
  int64_t length;
};

// Viterbi (1967): the scores of the best ways to each label of each step, and the way back.
float viterbi(const Row& row, const Transitions& t, std::vector<float>& scores, int32_t* best) {
  const int64_t n = t.labels;
  scores.resize(row.length * n);
  const float* first = t.to.data() + n * t.size();
  for (int64_t j = 0; j < n; ++j) scores[j] = first[j] + row.logits[j];
  for (int64_t s = 1; s < row.length; ++s) {
    const float* before = scores.data() + (s - 1) * n;
    float* now = scores.data() + s * n;
    std::fill(now, now + n, kNever);
    for (int64_t i = 0; i < n; ++i) {
      const float* to = t.to.data() + i * t.size();
      for (int64_t j = 0; j < n; ++j) now[j] = std::max(now[j], before[i] + to[j]);
    }
    for (int64_t j = 0; j < n; ++j) now[j] += row.logits[s * n + j];
  }
  float score = kNever;
  int64_t label = n;  // behind the last step there is the boundary
  for (int64_t s = row.length - 1; s >= 0; --s) {
    const float *before = scores.data() + s * n, *from = t.from.data() + label * t.size();
    float highest = kNever;
    int64_t chosen = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (before[i] + from[i] > highest) highest = before[i] + from[chosen = i];
    }
    if (s == row.length - 1) score = highest;
    best[s] = static_cast<int32_t>(label = chosen);
  }
  return score;
}

// What a step's labels pass on, scaled to a sum of 1; returns the logarithm of the factor.
double pass_on(const double* message, const double* potentials, const std::vector<double>& weights,
               int64_t n, std::vector<double>& state, double* next) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += state[i] = message[i] * potentials[i];
  sum = std::max(sum, kTiny);
  std::fill(next, next + n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    const double part = state[i] / sum;
    const double* to = weights.data() + i * (n + 1);
    for (int64_t j = 0; j < n; ++j) next[j] += part * to[j];
  }
  return std::log(sum);
}

struct Memory {
  std::vector<float> scores;
  std::vector<double> potentials, before, after, state;
};

// Forward and backward (Rabiner, 1989), in float64 as in layers/crf.py; returns the logarithm of
// what the scores are normalised by, and the probability of each of the labels.
double probabilities_of(const Row& row, const Transitions& t, const int32_t* labels, Memory& m,
                        float* probabilities) {
  const int64_t n = t.labels, last = row.length - 1;
  for (auto* each : {&m.potentials, &m.before}) each->resize((row.length + 1) * n);
  for (auto* each : {&m.after, &m.state}) each->resize(2 * n);
  double normalizer = t.shift * double(row.length + 1);
  std::copy_n(t.weights.data() + n * t.size(), n, m.before.data());
  for (int64_t s = 0; s <= last; ++s) {
    const float* logits = row.logits + s * n;
    const float peak = *std::max_element(logits, logits + n);
    double* potentials = m.potentials.data() + s * n;
    for (int64_t i = 0; i < n; ++i) potentials[i] = std::exp(double(logits[i]) - peak);
    const double log_scale = pass_on(m.before.data() + s * n, potentials, t.weights, n, m.state,
                                     m.before.data() + (s + 1) * n);
    normalizer += peak + (s < last ? log_scale : 0.0);
  }
  double *after = m.after.data(), *ahead = after + n;
  std::copy_n(t.reversed.data() + n * t.size(), n, after);
  for (int64_t s = last; s >= 0; --s) {
    const double *before = m.before.data() + s * n, *potentials = m.potentials.data() + s * n;
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += before[i] * potentials[i] * after[i];
    total = std::max(total, kTiny);
    if (s == last) normalizer += std::log(total);
    const int64_t label = labels[s];
    probabilities[s] = float(before[label] * potentials[label] * after[label] / total);
    pass_on(after, potentials, t.reversed, n, m.state, ahead);
    std::swap(after, ahead);
  }
  return normalizer;
}

void run_best_labels(bool, const Call& call) {
  const Tensor logits = call.input(0), given = call.input(1), lengths = call.input(2);
  expect("logits", logits, {kAny, kAny, kAny});
  const int64_t batch = logits.dim(0), steps = logits.dim(1), labels = logits.dim(2);
  expect("transitions", given, {labels + 1, labels + 1});
  expect("lengths", lengths, {batch});
  if (labels < 1) throw std::invalid_argument("logits: must be of at least one label");
  const Tensor best = call.output(0, {batch, steps}), scores = call.output(1, {batch}),
               probabilities = call.output(2, {batch, steps}), normalizers = call.output(3, {batch});
  const Transitions transitions(given.data<float>(), labels);
  const Threads::Turn turn(threads());
  threads().run(batch, [&](int64_t b) {
    thread_local Memory memory;
    const int64_t length = std::clamp<int64_t>(lengths.data<int32_t>()[b], 0, steps);
    const Row row{logits.data<float>() + b * steps * labels, length};
    int32_t* labels_of_row = best.data<int32_t>() + b * steps;
    float* probabilities_of_row = probabilities.data<float>() + b * steps;
    std::fill(labels_of_row + length, labels_of_row + steps, 0);
    std::fill(probabilities_of_row + length, probabilities_of_row + steps, 0.f);
    float score = 0;
    double normalizer = 0;
    if (length > 0) {
      score = viterbi(row, transitions, memory.scores, labels_of_row);
      normalizer = probabilities_of(row, transitions, labels_of_row, memory, probabilities_of_row);
    }
    scores.data<float>()[b] = score;
    normalizers.data<float>()[b] = static_cast<float>(normalizer);
  });
}

const bool registered = register_op<kNoFlag, run_best_labels>(
    {"Seq2seqBestLabels",
     {"logits: float", "transitions: float", "lengths: int32"},
     {"best: int32", "scores: float", "probabilities: float", "log_normalizers: float"},
     {}});

}  // namespace
}  // namespace seq2seq
