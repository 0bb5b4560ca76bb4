"""The logits' statistics and their gradients are those of the plain formula, in both ways."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.ops import cross_entropy
from seq2seq.ops.cross_entropy import logit_statistics
from seq2seq.ops.dispatch import usable

WAYS = ["plain", pytest.param("kernel", marks=pytest.mark.compiled)]


def operands(rows, dim, classes, transposed, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, dim))
    kernel = generator.normal(size=(classes, dim) if transposed else (dim, classes))
    labels = generator.integers(-1, classes, rows)
    return features, kernel, generator.normal(size=classes), labels


def expected(features, kernel, bias, labels, transposed):
    """Returns statistics and gradients of `sum(d * statistics)` in float64, by numpy."""
    values = features @ (kernel.T if transposed else kernel) + bias
    kept = labels >= 0
    shifted = values - values.max(-1, keepdims=True)
    normalizer = np.log(np.exp(shifted).sum(-1)) + values.max(-1)
    onehot = np.eye(values.shape[-1])[np.maximum(labels, 0)]
    statistics = [normalizer, (values * onehot).sum(-1), values.mean(-1)]
    d = np.stack([np.cos(np.arange(len(labels)) + n) for n in range(3)])
    d_values = (
        d[0][:, None] * np.exp(values - normalizer[:, None])
        + d[1][:, None] * onehot
        + d[2][:, None] / values.shape[-1]
    ) * kept[:, None]
    d_kernel = d_values.T @ features if transposed else features.T @ d_values
    d_features = d_values @ (kernel if transposed else kernel.T)
    return [s * kept for s in statistics], [d_features, d_kernel, d_values.sum(0)]


def results(features, kernel, bias, labels, transposed, dtype=tf.float32):
    variables = [
        tf.constant(features, dtype),
        tf.constant(kernel, tf.float32),
        tf.constant(bias, tf.float32),
    ]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        statistics = logit_statistics(
            *variables, tf.constant(labels, tf.int32), transposed=transposed
        )[:3]
        total = tf.add_n(
            [
                tf.reduce_sum(each * np.cos(np.arange(len(labels)) + n).astype(np.float32))
                for n, each in enumerate(statistics)
            ]
        )
    return list(statistics), tape.gradient(total, variables)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 40),
    dim=st.integers(1, 70),
    classes=st.integers(1, 90),
    transposed=st.booleans(),
)
def test_statistics_and_gradients_are_those_of_the_formula(way, rows, dim, classes, transposed):
    given_operands = operands(rows, dim, classes, transposed)
    with pytest.MonkeyPatch.context() as patch:
        if way == "plain":
            patch.setattr(cross_entropy, "usable", lambda *_: False)
        found = results(*given_operands, transposed)
    true = expected(*given_operands, transposed)
    for mine, other in zip(tf.nest.flatten(found), tf.nest.flatten(true), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_more_than_one_panel_layer_and_slab(transposed):
    given_operands = operands(1100, 600, 70, transposed)
    statistics, gradients = results(*given_operands, transposed)
    true_statistics, true_gradients = expected(*given_operands, transposed)
    for mine, other in zip(
        [*statistics, *gradients], [*true_statistics, *true_gradients], strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("way", WAYS)
def test_large_logits_do_not_overflow(way, monkeypatch):
    if way == "plain":
        monkeypatch.setattr(cross_entropy, "usable", lambda *_: False)
    features = np.array([[300.0], [-300.0]])
    kernel, bias, labels = np.array([[1.0, -1.0, 0.5]]), np.zeros(3), np.array([1, 1])
    statistics, gradients = results(features, kernel, bias, labels, False)
    np.testing.assert_allclose(statistics[0], [300, 300])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_operands(way, monkeypatch):
    if way == "plain":
        monkeypatch.setattr(cross_entropy, "usable", lambda *_: False)
    features, kernel, bias, labels = operands(20, 30, 40, False)
    rounded = [np.float32(tf.cast(x, tf.bfloat16)) for x in (features, kernel)]
    statistics, gradients = results(features, rounded[1], bias, labels, False, tf.bfloat16)
    true_statistics, true_gradients = expected(*rounded, bias, labels, False)
    assert [gradient.dtype for gradient in gradients] == [tf.bfloat16, tf.float32, tf.float32]
    tolerance = 1e-4 if way == "kernel" else 0.05  # plain logits are rounded to bfloat16
    for mine, other in zip(statistics, true_statistics, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
    for mine, other in zip(gradients, true_gradients, strict=True):
        np.testing.assert_allclose(np.float32(mine), other, rtol=0.03, atol=0.1)


@pytest.mark.compiled
def test_a_label_outside_is_an_error():
    features, kernel, bias, _ = operands(2, 3, 4, False)
    with pytest.raises(tf.errors.OpError, match="label 4 is not one of 4 classes"):
        results(features, kernel, bias, np.array([0, 4]), False)


@pytest.mark.compiled
def test_training_uses_the_kernel_and_inference_does_not():
    assert usable(tf.float32, training=True)
    assert not usable(tf.float32, training=False)
    assert not usable(tf.float64, training=True)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    pairs=st.integers(0, 40),
    dim=st.integers(1, 20),
    classes=st.integers(1, 70),
    transposed=st.booleans(),
)
def test_divergences_of_pairs_are_those_of_the_definition(way, pairs, dim, classes, transposed):
    features, kernel, bias, _ = operands(2 * pairs, dim, classes, transposed)
    features *= 0.3
    labels = np.tile(operands(pairs, dim, classes, transposed)[-1], 2)
    weights = np.cos(np.arange(pairs))
    variables = [tf.constant(each, tf.float32) for each in (features, kernel, bias)]
    exact = [tf.constant(each, tf.float64) for each in (features, kernel, bias)]
    with pytest.MonkeyPatch.context() as patch, tf.GradientTape() as tape:
        if way == "plain":
            patch.setattr(cross_entropy, "usable", lambda *_: False)
        tape.watch(variables)
        found = logit_statistics(*variables, labels, transposed=transposed, pairs=True)
        total = tf.reduce_sum(found.divergence * np.float32(weights))
        total += tf.reduce_sum(found.log_normalizer)
    with tf.GradientTape() as true_tape:
        true_tape.watch(exact)
        values = tf.matmul(exact[0], exact[1], transpose_b=transposed) + exact[2]
        p, q = tf.split(tf.nn.log_softmax(values), 2)
        kept = (labels >= 0).astype(float)
        true = kept[:pairs] * tf.reduce_sum((tf.exp(p) - tf.exp(q)) * (p - q), axis=-1)
        true_total = tf.reduce_sum(true * weights)
        true_total += tf.reduce_sum(kept * tf.reduce_logsumexp(values, axis=-1))
    np.testing.assert_allclose(found.divergence, true, rtol=2e-4, atol=2e-5)
    gradients = tape.gradient(total, variables), true_tape.gradient(true_total, exact)
    for mine, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=5e-5)


@pytest.mark.compiled
def test_rows_that_are_no_pairs_are_an_error():
    features, kernel, bias, _ = operands(2, 3, 4, False)
    variables = [tf.constant(each, tf.float32) for each in (features, kernel, bias)]
    with pytest.raises(tf.errors.OpError, match="rows are no pairs"):
        logit_statistics(*variables, np.array([0, -1]), pairs=True)
