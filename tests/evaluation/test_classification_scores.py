"""Scores of classes by their definitions, and temperatures that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.evaluation.classification import (
    calibration_error,
    class_probabilities,
    fit_temperature,
    score_classes,
    score_label_sets,
)

CASES = settings(derandomize=True, deadline=None, max_examples=25)


def sample(seed, rows=200, classes=4):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes)) * 2
    p = class_probabilities(logits)
    return logits, np.array([random.choice(classes, p=row) for row in p])


def f1_of(references, predictions, number):
    hits = np.sum((references == number) & (predictions == number))
    missed = np.sum((references == number) & (predictions != number))
    wrong = np.sum((references != number) & (predictions == number))
    return 2 * hits / (2 * hits + missed + wrong)


@CASES
@given(st.integers(0, 10**6))
def test_scores_of_one_class_a_row(seed):
    logits, references = sample(seed)
    probabilities = class_probabilities(logits)
    predictions = logits.argmax(axis=1)
    scores = score_classes(references, probabilities)
    f1 = np.array([f1_of(references, predictions, n) for n in range(4)])
    share = np.bincount(references, minlength=4) / len(references)
    assert scores["accuracy"] == pytest.approx(np.mean(references == predictions))
    assert scores["f1_macro"] == pytest.approx(f1.mean())
    assert scores["f1_weighted"] == pytest.approx(f1 @ share)
    areas = [
        np.mean(np.sign(p[references == n][:, None] - p[references != n][None, :]) / 2 + 0.5)
        for n, p in enumerate(probabilities.T)
    ]
    assert scores["roc_auc"] == pytest.approx(np.mean(areas))


def test_scores_of_several_classes_a_row():
    references = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]])
    probabilities = np.array([[0.9, 0.2, 0.4], [0.1, 0.2, 0.1], [0.8, 0.7, 0.2], [0.6, 0.3, 0.1]])
    scores = score_label_sets(references, probabilities, threshold=0.35)
    assert scores["accuracy"] == 3 / 4
    assert scores["hamming_loss"] == pytest.approx(2 / 12)
    assert scores["f1_micro"] == pytest.approx(2 * 4 / (2 * 4 + 1 + 1))
    assert scores["roc_auc"] == 1.0
    assert "roc_auc" not in score_label_sets(np.ones((2, 1), int), np.ones((2, 1)))


@CASES
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_calibration_error_by_its_definition(decisions):
    probabilities, outcomes = map(np.array, zip(*decisions, strict=True))
    error = 0.0
    for lower in range(10):
        inside = [n for n, p in enumerate(probabilities) if min(int(p * 10), 9) == lower]
        if inside:
            gap = abs(probabilities[inside].mean() - outcomes[inside].mean())
            error += len(inside) / len(decisions) * gap
    assert calibration_error(probabilities, outcomes, bins=10) == pytest.approx(error, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    logits, labels = sample(3, rows=20_000)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)
    sharpened = class_probabilities(logits * temperature, temperature)
    np.testing.assert_allclose(sharpened, class_probabilities(logits), atol=1e-12)


def test_a_known_temperature_of_single_decisions_is_found():
    random = np.random.default_rng(4)
    logits = random.normal(size=(8_000, 3)) * 2
    labels = (random.random(logits.shape) < class_probabilities(logits, several=True)).astype(int)
    assert fit_temperature(logits * 2, labels) == pytest.approx(2, rel=0.06)
