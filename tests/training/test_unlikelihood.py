"""The unlikelihood of earlier labels, written down in numpy as sets and loops."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.training.losses import TokenCrossEntropy

ROWS, STEPS, DIM, CLASSES = 4, 9, 6, 5


def batch():
    generator = np.random.default_rng(2)
    features = generator.normal(size=(ROWS, STEPS, DIM))
    labels = generator.integers(0, CLASSES, (ROWS, STEPS))
    weights = np.arange(STEPS) < np.array([[9], [4], [7], [1]])
    return features, labels, weights


def expected(logits, labels, weights):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    losses = np.zeros(labels.shape)
    for row, step in np.ndindex(labels.shape):
        if weights[row, step]:
            candidates = {*labels[row, :step].tolist()} - {labels[row, step]}
            losses[row, step] = -sum(np.log(1 - p[row, step, label]) for label in candidates)
    return losses


@pytest.mark.parametrize("tied", [False, True])
def test_the_unlikelihood_and_its_gradient(tied):
    features, labels, weights = batch()
    generator = np.random.default_rng(3)
    kernel, bias = generator.normal(size=(DIM, CLASSES)), generator.normal(size=CLASSES)
    bias = bias * (not tied)
    variables = {
        "features": tf.Variable(features, dtype=tf.float32),
        **({"embeddings": kernel.T} if tied else {"kernel": kernel, "bias": bias}),
    }
    variables = {name: tf.Variable(v, dtype=tf.float32) for name, v in variables.items()}

    def objective(weight, **given):
        factors = {n: tf.convert_to_tensor(v) for n, v in {**variables, **given}.items()}
        loss = TokenCrossEntropy(0.1, unlikelihood=weight)
        return loss(tf.constant(labels), factors, tf.constant(weights, tf.float32))

    with tf.GradientTape() as tape:
        losses = objective(0.7)
        total = tf.reduce_sum(losses.objective * weights)
    added = (losses.objective - objective(0.0).objective) * weights
    np.testing.assert_allclose(
        added, 0.7 * expected(features @ kernel + bias, labels, weights), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(losses.reported, objective(0.0).reported)
    gradients = tape.gradient(total, list(variables.values()))
    for (name, variable), gradient in zip(variables.items(), gradients, strict=True):
        direction = generator.normal(size=variable.shape).astype(np.float32)
        ends = [
            tf.reduce_sum(
                objective(0.7, **{name: variable + sign * 1e-2 * direction}).objective * weights
            )
            for sign in (1, -1)
        ]
        slope = float(ends[0] - ends[1]) / 2e-2
        dense = tf.convert_to_tensor(gradient)
        assert float(tf.reduce_sum(dense * direction)) == pytest.approx(slope, rel=1e-2, abs=1e-2)
