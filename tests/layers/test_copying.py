"""Copying and the coverage loss against plain numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.layers.attention_scores import CoverageLoss
from seq2seq.layers.copying import CopyGate, CopyMixture

BATCH, STEPS, LENGTH, VOCABULARY, UNITS = 2, 3, 5, 7, 4


def random_inputs(seed, dtype="float32"):
    """Returns logits, decoder outputs and inputs, alignments and source tokens with repeats."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=3, size=(BATCH, STEPS, VOCABULARY))
    read = [generator.normal(size=(BATCH, STEPS, UNITS)) for _ in range(2)]
    alignments = generator.dirichlet([0.3] * LENGTH, size=(BATCH, STEPS))
    alignments[1, :, 3:] = 0  # padding; this row's weights add up to less than 1
    tokens = generator.integers(0, 4, (BATCH, LENGTH))
    tokens[1, 3:] = 0
    return [tf.constant(a, dtype) for a in (logits, *read, alignments)] + [tf.constant(tokens)]


def mixed(gate, logits, outputs, inputs, alignments, tokens):
    shares = gate(outputs, inputs, alignments)
    memory = {"tokens": tokens, "mask": tf.ones_like(tokens, tf.bool)}
    return CopyMixture()(logits, shares, alignments, memory)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99))
def test_mixture(seed):
    gate = CopyGate()
    logits, outputs, inputs, alignments, tokens = random_inputs(seed)
    result = mixed(gate, logits, outputs, inputs, alignments, tokens).numpy()
    kernel, bias = (weight.numpy() for weight in gate.weights)
    for row in range(BATCH):
        for step in range(STEPS):
            read = np.concatenate([outputs[row, step], inputs[row, step]])
            share = 1 / (1 + np.exp(-(read @ kernel + bias)[0]))
            expected = np.exp(logits[row, step]) / np.exp(logits[row, step]).sum()
            weights = alignments[row, step].numpy()
            expected *= share + (1 - share) * (1 - weights.sum())
            for token, weight in zip(tokens[row].numpy(), weights, strict=True):
                expected[token] += (1 - share) * weight
            np.testing.assert_allclose(np.exp(result[row, step]), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(result).sum(axis=-1), 1.0, atol=1e-5)


def test_gradients_where_tokens_repeat():
    """Of logits, alignments and what the gate reads, against finite differences."""
    keras.config.set_dtype_policy("float64")
    try:
        gate = CopyGate()
    finally:
        keras.config.set_dtype_policy("float32")
    *given_, tokens = random_inputs(3, "float64")
    given_[3] *= 0.9  # weights that add up to 1 are at the edge of what is differentiable
    variables = [tf.Variable(tensor) for tensor in given_]
    generator, step = np.random.default_rng(1), 1e-6
    factors = generator.normal(size=(BATCH, STEPS, VOCABULARY))

    def loss():
        return tf.reduce_sum(factors * mixed(gate, *(v.value() for v in variables), tokens))

    with tf.GradientTape() as tape:
        result = loss()
    gradients = tape.gradient(result, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = generator.normal(size=variable.shape)
        if variable is variables[3]:  # at padding nothing is differentiable
            direction[1, :, 3:] = 0
        variable.assign_add(step * direction)
        above = loss()
        variable.assign_sub(2 * step * direction)
        slope = (above - loss()) / (2 * step)
        variable.assign_add(step * direction)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_certain_gates_give_finite_results(logit):
    gate = CopyGate()
    logits, outputs, inputs, alignments, tokens = random_inputs(0)
    gate(outputs, inputs, alignments)
    gate.dense.bias.assign([logit])
    with tf.GradientTape() as tape:
        tape.watch([logits, alignments])
        result = mixed(gate, logits, outputs, inputs, alignments, tokens)
        loss = tf.reduce_sum(result)
    for tensor in (result, *tape.gradient(loss, [logits, alignments, *gate.trainable_weights])):
        assert np.isfinite(tensor).all()


def test_coverage_loss():
    alignments = random_inputs(5)[3].numpy()
    losses = CoverageLoss(2.0)(tf.constant(alignments)).numpy()
    for row in range(BATCH):
        coverage = np.zeros(LENGTH)
        for step in range(STEPS):
            weights = alignments[row, step]
            expected = 2 * np.minimum(weights, coverage).sum()
            np.testing.assert_allclose(losses[row, step], expected, atol=1e-6)
            coverage += weights


@pytest.mark.parametrize("layer", [CopyGate(name="gate"), CopyMixture(), CoverageLoss(0.5)])
def test_config(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
