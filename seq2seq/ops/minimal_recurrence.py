"""minGRU and minLSTM: recurrences whose gates depend on the input alone, as one scan over time.

Feng et al., 2024, "Were RNNs All We Needed?", https://arxiv.org/abs/2410.01201. A step of either is
`h' = a * h + b`, where `a` and `b` are positive and do not depend on `h`. So the states of all
steps are sums of products, which a parallel scan gives in the logarithmic space (Heinsen, 2023,
https://arxiv.org/abs/2311.06281).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.plain_recurrence import PlainLayer

NOTHING = -1e9
"""The logarithm of what a masked step adds to the state: of 0, yet finite in a difference."""


class Coefficients(NamedTuple):
    """The coefficients of steps `h' = a * h + b`, of any shape."""

    log_a: tf.Tensor
    """The logarithm of the share of the state that stays, at most 0."""
    log_b: tf.Tensor
    """The logarithm of what is added."""
    gates: dict[str, tf.Tensor]
    """The gates by name."""


CoefficientsOf = Callable[[tf.Tensor], Coefficients]
"""Maps the projected input, `(..., gates * units)`, to the coefficients, `(..., units)`."""


def min_gru(projected: tf.Tensor) -> Coefficients:
    """Returns the minGRU: `h' = (1 - z) * h + z * g(c)`, with `z = sigmoid(x W_z)`, `c = x W_c`.

    `g(c)` is `c + 0.5` for positive `c`, else `sigmoid(c)`; so states stay positive.
    """
    z, candidate = tf.split(projected, 2, axis=-1)
    log_z = -tf.nn.softplus(-z)
    gates = {"update_gate": tf.exp(log_z), "candidate": tf.exp(_log_positive(candidate))}
    return Coefficients(-tf.nn.softplus(z), log_z + _log_positive(candidate), gates)


def min_lstm(projected: tf.Tensor) -> Coefficients:
    """Returns the minLSTM: `h' = f / (f + i) * h + i / (f + i) * g(c)`, with `g` of `min_gru`.

    `f = sigmoid(x W_f)`, `i = sigmoid(x W_i)`, `c = x W_c`.
    """
    f, i, candidate = tf.split(projected, 3, axis=-1)
    log_ratio = tf.nn.softplus(-f) - tf.nn.softplus(-i)  # of i / f
    log_f, log_i = -tf.nn.softplus(log_ratio), -tf.nn.softplus(-log_ratio)
    log_candidate = _log_positive(candidate)
    values = {"input_gate": log_i, "forget_gate": log_f, "candidate": log_candidate}
    gates = {name: tf.exp(value) for name, value in values.items()}
    return Coefficients(log_f, log_i + log_candidate, gates)


def _log_positive(values: tf.Tensor) -> tf.Tensor:
    """Returns `log(g(values))`, see `min_gru`."""
    above = tf.math.log(tf.nn.relu(values) + 0.5)
    return tf.where(values >= 0, above, -tf.nn.softplus(-values))


def minimal_layer(
    coefficients: CoefficientsOf,
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    sequences: tf.Tensor,
    dtype: tf.DType,
) -> PlainLayer:
    """Returns the equations of a layer step by step, as the paper states them.

    Args:
        coefficients: `min_gru` or `min_lstm`.
        kernel: `(features, gates * units)`, of the type of the sequences.
        bias: `(gates * units,)`, or None.
        sequences: `(batch, time, features)`.
        dtype: Of states and gates.
    """
    projected = tf.cast(tf.tensordot(sequences, kernel, 1), dtype)
    if bias is not None:
        projected += tf.cast(bias, dtype)

    def step(projected: tf.Tensor, states: Tensors) -> tuple[Tensors, dict[str, tf.Tensor]]:
        log_a, log_b, gates = coefficients(projected)
        return (tf.exp(log_a) * states[0] + tf.exp(log_b),), gates

    return PlainLayer(projected, step)


def parallel_recurrence(
    coefficients: Coefficients, state: tf.Tensor, mask: tf.Tensor | None
) -> tf.Tensor:
    """Returns the states after all steps at once.

    With `A` the sums of the logarithms of `a` up to a step, the state after it is
    `exp(A) * (h + sum(exp(log b - A)))`, over all steps up to it. The initial state `h` may have
    any sign. Sums are made in float64, as `A` falls with the steps, and a difference of two large
    numbers is needed.

    Args:
        coefficients: Those of all steps, `(batch, time, units)`.
        state: The initial state, `(batch, units)`.
        mask: Booleans, `(batch, time)`, or with a batch of 1; a row keeps its state where it is
            false.

    Returns:
        `(batch, time, units)`, of the type of the state.
    """
    log_a, log_b = coefficients.log_a, coefficients.log_b
    if mask is not None:
        real = mask[..., tf.newaxis]
        log_a, log_b = tf.where(real, log_a, 0.0), tf.where(real, log_b, NOTHING)
    sums = tf.cumsum(tf.cast(log_a, tf.float64), axis=1)
    added = tf.math.cumulative_logsumexp(tf.cast(log_b, tf.float64) - sums, axis=1)
    start = tf.exp(sums) * tf.cast(state, tf.float64)[:, tf.newaxis]
    return tf.cast(start + tf.exp(sums + added), state.dtype)
