import numpy as np
import pytest
import tensorflow as tf

from seq2seq.training.losses import TokenCrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_cross_entropy_and_its_gradient_equal_the_plain_formula(smoothing):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 5, 11)) * 4
    labels = generator.integers(0, 11, (3, 5))
    variable = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = TokenCrossEntropy(smoothing)(tf.constant(labels), variable, tf.ones((3, 5)))
        total = tf.reduce_sum(loss.objective)

    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    targets = np.eye(11)[labels] * (1 - smoothing) + smoothing / 11
    expected = -(targets * np.log(probabilities)).sum(-1)
    np.testing.assert_allclose(loss.objective, expected, rtol=1e-5)
    np.testing.assert_allclose(
        loss.reported,
        -np.log(np.take_along_axis(probabilities, labels[..., None], -1))[..., 0],
        rtol=1e-5,
    )
    np.testing.assert_allclose(tape.gradient(total, variable), probabilities - targets, atol=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        TokenCrossEntropy(smoothing)
