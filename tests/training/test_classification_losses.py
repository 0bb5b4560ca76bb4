"""Losses of classes against numpy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import rel_entr

from seq2seq.training.losses import (
    ClassCrossEntropy,
    MultiLabelCrossEntropy,
    weights_by_class,
)

RANDOM = np.random.default_rng(1)
LOGITS = RANDOM.normal(size=(7, 4)).astype(np.float32) * 3
CLASSES = RANDOM.integers(0, 4, 7)
SETS = RANDOM.integers(0, 2, (7, 4))
WEIGHTS = [0.5, 1.0, 2.0, 4.0]


def probabilities():
    exponentials = np.exp(LOGITS - LOGITS.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def one_hot():
    return np.eye(4)[CLASSES]


def test_one_class_a_row():
    p = probabilities()
    nll = -np.log(p[np.arange(7), CLASSES])
    plain = ClassCrossEntropy()(CLASSES, LOGITS, np.ones(7))
    np.testing.assert_allclose(plain.objective, nll, rtol=1e-5)
    smooth = 0.9 * one_hot() + 0.1 / 4
    smoothed = ClassCrossEntropy(0.1)(CLASSES, LOGITS, np.ones(7))
    np.testing.assert_allclose(smoothed.objective, -(smooth * np.log(p)).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(smoothed.reported, nll, rtol=1e-5)
    weighted = ClassCrossEntropy(0, WEIGHTS, 2.0)(CLASSES, LOGITS, np.ones(7))
    expected = np.array(WEIGHTS)[CLASSES] * (1 - np.exp(-nll)) ** 2 * nll
    np.testing.assert_allclose(weighted.objective, expected, rtol=1e-4)


def test_several_classes_a_row():
    p = 1 / (1 + np.exp(-LOGITS))
    nll = -np.log(np.where(SETS, p, 1 - p))
    plain = MultiLabelCrossEntropy()(SETS, LOGITS, np.ones(7))
    np.testing.assert_allclose(plain.objective, nll.mean(axis=1), rtol=1e-4)
    smooth = 0.8 * SETS + 0.1
    expected = -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p))
    weighted = MultiLabelCrossEntropy(0.2, WEIGHTS)(SETS, LOGITS, np.ones(7))
    np.testing.assert_allclose(weighted.objective, (expected * WEIGHTS).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(weighted.reported, nll.mean(axis=1), rtol=1e-4)
    focal = MultiLabelCrossEntropy(focal_gamma=1.5)(SETS, LOGITS, np.ones(7))
    expected = ((1 - np.exp(-nll)) ** 1.5 * nll).mean(axis=1)
    np.testing.assert_allclose(focal.objective, expected, rtol=1e-4)


def test_doubled_batches_also_weigh_the_divergences():
    """The divergences of R-Drop, by scipy."""
    logits = np.concatenate([LOGITS, LOGITS * 0.5 + 0.1])
    one, other = (np.exp(each) / np.exp(each).sum(1, keepdims=True) for each in np.split(logits, 2))
    apart = (rel_entr(one, other) + rel_entr(other, one)).sum(axis=1)
    arguments = np.tile(CLASSES, 2), logits, np.ones(14)
    plain = ClassCrossEntropy(0.1)(*arguments)
    doubled = ClassCrossEntropy(0.1, consistency=3.0)(*arguments, doubled=True)
    added = doubled.objective - plain.objective
    np.testing.assert_allclose(added, 3 / 4 * np.tile(apart, 2), rtol=1e-4)
    np.testing.assert_array_equal(doubled.reported, plain.reported)

    one, other = (np.stack([p := 1 / (1 + np.exp(-each)), 1 - p]) for each in np.split(logits, 2))
    apart = (rel_entr(one, other) + rel_entr(other, one)).sum(axis=0).mean(axis=1)
    arguments = np.tile(SETS, (2, 1)), logits, np.ones(14)
    doubled = MultiLabelCrossEntropy(consistency=3.0)(*arguments, doubled=True)
    added = doubled.objective - MultiLabelCrossEntropy()(*arguments).objective
    np.testing.assert_allclose(added, 3 / 4 * np.tile(apart, 2), rtol=1e-4)


@pytest.mark.parametrize("loss", [ClassCrossEntropy, MultiLabelCrossEntropy])
def test_gradients_are_finite_where_all_is_certain(loss):
    logits = tf.Variable([[60.0, -60.0]])
    labels = [0] if loss is ClassCrossEntropy else [[1, 0]]
    with tf.GradientTape() as tape:
        objective = loss(focal_gamma=0.5)(tf.constant(labels), logits, tf.ones(1)).objective
    assert np.isfinite(tape.gradient(objective, logits)).all()


def test_balanced_weights_count_each_class_the_same():
    counts = np.array([1, 10, 89])
    weights = weights_by_class("balanced", ["a", "b", "c"], counts)
    np.testing.assert_allclose(weights * counts, 100 / 3)
    assert weights_by_class({"b": 3.0}, ["a", "b"], [1, 1]) == [1.0, 3.0]
    assert weights_by_class(None, ["a"], [1]) is None


@pytest.mark.parametrize("wanted", ["even", {"z": 1.0}, {"a": 0.0}])
def test_impossible_weights(wanted):
    with pytest.raises(ValueError, match="class_weights"):
        weights_by_class(wanted, ["a", "b"], [1, 1])


@pytest.mark.parametrize(
    "settings", [{"label_smoothing": 1.0}, {"focal_gamma": -1.0}, {"consistency": -1.0}]
)
def test_impossible_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ClassCrossEntropy(**settings)
