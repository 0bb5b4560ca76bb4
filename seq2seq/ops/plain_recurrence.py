"""Recurrent layers that no kernel knows: each step by TensorFlow's operations and their gradients.

A step may be that of an LSTM or a GRU (`recurrent_cells`), or of an LSTM with layer normalisation;
and a share of each state may stay as it was (zoneout).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.scan import scan

PlainStep = Callable[[tf.Tensor, Tensors], tuple[Tensors, dict[str, tf.Tensor]]]
"""Maps the projected input of a step, `(batch, gates * units)`, and the states before it to the
states after it and its gates by name, `(batch, units)` each."""

EPSILON = 1e-5
"""Added to the variance in layer normalisation."""


class PlainLayer(NamedTuple):
    """The equations of a layer for one input.

    Attributes:
        projected: The input times its kernel, and what else a step needs of it, `(batch, time,
            gates * units)`.
        step: The equations of a step.
    """

    projected: tf.Tensor
    step: PlainStep


def plain_recurrence(
    layer: PlainLayer,
    states: Tensors,
    mask: tf.Tensor | None,
    stay: Sequence[tf.Tensor | float],
    all_states: bool = False,
) -> tuple[dict[str, tf.Tensor], Tensors]:
    """Runs a layer over time, from the first step to the last.

    Args:
        layer: The equations.
        states: The initial states, `(batch, units)` each.
        mask: Booleans, `(batch, time)`; a row keeps its states where it is false.
        stay: For each state, the share of the state before a step in that after it: one number, or
            float tensors `(batch, time, units)`.
        all_states: Whether to return more than `hidden`.

    Returns:
        `hidden`, of all states also `cell` of an LSTM and the gates, `(batch, time, units)` each;
        and the last states.
    """
    given = {number: share for number, share in enumerate(stay) if tf.is_tensor(share)}
    sequences: dict[str, Any] = {"projected": layer.projected, "stay": given}
    if mask is not None:
        batch, time = tf.unstack(tf.shape(layer.projected)[:2])
        sequences["mask"] = tf.broadcast_to(mask, (batch, time))

    def step(inputs: dict[str, Any], before: Tensors) -> tuple[dict[str, tf.Tensor], Tensors]:
        projected = tf.cast(inputs["projected"][:, 0], before[0].dtype)
        after, gates = layer.step(projected, before)
        shares = [inputs["stay"][n][:, 0] if n in given else s for n, s in enumerate(stay)]
        after = tuple(
            new if isinstance(share, float) and share == 0 else share * old + (1 - share) * new
            for share, old, new in zip(shares, before, after, strict=True)
        )
        if mask is not None:
            after = tuple(
                tf.where(inputs["mask"], new, old) for old, new in zip(before, after, strict=True)
            )
        named = dict(zip(("hidden", "cell"), after, strict=False)) | gates
        outputs = named if all_states else {"hidden": after[0]}
        return {name: values[:, tf.newaxis] for name, values in outputs.items()}, after

    return scan(step, sequences, states)


class LayerNormWeights(NamedTuple):
    """The weights of an LSTM with layer normalisation, in the dtype of the products."""

    kernel: tf.Tensor
    """`(features, 4 * units)`."""
    recurrent_kernel: tf.Tensor
    """`(units, 4 * units)`."""
    bias: tf.Tensor | None
    """`(4 * units,)`."""
    kernel_gain: tf.Tensor
    """`(4 * units,)`."""
    recurrent_gain: tf.Tensor
    """`(4 * units,)`."""
    cell_gain: tf.Tensor
    """`(units,)`."""
    cell_offset: tf.Tensor
    """`(units,)`."""


def layer_norm_lstm(weights: LayerNormWeights, sequences: tf.Tensor, dtype: tf.DType) -> PlainLayer:
    """Returns the LSTM with layer normalisation (Ba et al., 2016, https://arxiv.org/abs/1607.06450).

    For each gate `k` of `i, f, g, o`, with a gain `a` of its own for the input and for the state,
    `z_k = a_k * norm(x W_k) + a'_k * norm(h U_k) + b_k`; then `c' = sigmoid(z_f) * c + sigmoid(z_i)
    * tanh(z_g)` and `h' = sigmoid(z_o) * tanh(a_c * norm(c') + b_c)`, where `norm` makes the mean
    over the units 0 and their variance 1. The state `c'` itself is not normalised.

    Args:
        weights: The weights.
        sequences: `(batch, time, features)`.
        dtype: Of states, gates and what is normalised.
    """

    def normalized_gates(product: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
        gates = [_normalized(gate) for gate in tf.split(tf.cast(product, dtype), 4, axis=-1)]
        return tf.concat(gates, axis=-1) * tf.cast(gain, dtype)

    projected = normalized_gates(tf.tensordot(sequences, weights.kernel, 1), weights.kernel_gain)
    if weights.bias is not None:
        projected += tf.cast(weights.bias, dtype)

    def step(projected: tf.Tensor, states: Tensors) -> tuple[Tensors, dict[str, tf.Tensor]]:
        h, c = states
        product = tf.matmul(tf.cast(h, weights.recurrent_kernel.dtype), weights.recurrent_kernel)
        preactivations = projected + normalized_gates(product, weights.recurrent_gain)
        i, f, g, o = tf.split(preactivations, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        scaled = tf.cast(weights.cell_gain, dtype) * _normalized(c)
        h = o * tf.tanh(scaled + tf.cast(weights.cell_offset, dtype))
        return (h, c), {"input_gate": i, "forget_gate": f, "candidate": g, "output_gate": o}

    return PlainLayer(projected, step)


def _normalized(values: tf.Tensor) -> tf.Tensor:
    """Returns values with mean 0 and variance 1 over the last axis."""
    mean = tf.reduce_mean(values, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(values - mean), axis=-1, keepdims=True)
    return (values - mean) * tf.math.rsqrt(variance + EPSILON)
