"""Confidence intervals of scores."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from scipy.stats import binomtest, bootstrap

from seq2seq.evaluation.intervals import score_intervals, text_intervals


def test_an_interval_of_accuracy_is_that_of_the_binomial_distribution():
    right = np.arange(400) % 10 != 0
    statistics = [{"accuracy": [float(each), 1]} for each in right]
    low, high = score_intervals(statistics, ["accuracy", "loss"])["accuracy"]
    exact = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_an_interval_of_f1_is_that_of_scipy():
    generator = np.random.default_rng(1)
    spans = generator.integers(0, 4, (300, 1)) * [1, 1, 1] + generator.integers(0, 2, (300, 3))
    statistics = [{"spans": [float(min(row)), *map(float, row[1:])]} for row in spans]
    values = np.array([item["spans"] for item in statistics])

    def f1(right, predicted, true, axis):
        return 2 * right.sum(axis) / (predicted.sum(axis) + true.sum(axis))

    expected = bootstrap(
        tuple(values.T), f1, paired=True, n_resamples=2000, method="percentile", rng=2
    ).confidence_interval
    low, high = score_intervals(statistics, ["f1"])["f1"]
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize("count", [1, 2])
def test_an_interval_of_bleu_is_that_of_sacrebleu(count):
    generator = np.random.default_rng(3)
    words = np.array(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])
    references = [" ".join(words[generator.integers(0, 10, 12)]) for _ in range(60)]
    predictions = [
        reference if number % 2 else " ".join([*reference.split()[:-2], "x", "y"])
        for number, reference in enumerate(references)
    ]
    streams = [references, [f"a b {text[6:]}" for text in references]][:count]
    rows = [
        {"prediction": prediction, "reference": texts[0]}
        | ({"references": list(texts)} if texts[1:] else {})
        for prediction, texts in zip(predictions, zip(*streams, strict=True), strict=True)
    ]
    score = BLEU(force=True).corpus_score(predictions, streams, n_bootstrap=1000)
    low, high = text_intervals(rows, ["bleu", "exact_match"], "13a")["bleu"]
    assert (low + high) / 2 == pytest.approx(score._mean, abs=0.5)
    assert (high - low) / 2 == pytest.approx(score._ci, abs=0.5)
