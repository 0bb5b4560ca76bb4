"""Two recurrent layers over the same input, the second of them from its end."""

from functools import partial
from typing import Literal

import tensorflow as tf

from seq2seq.kernels.library import usable
from seq2seq.kernels.recurrent import both_directions as kernel_of_both_directions
from seq2seq.layers.recording import recording
from seq2seq.layers.recurrent import GRU, LSTM
from seq2seq.layers.recurrent_loop import both_directions_reference


def both_directions(
    forward: LSTM | GRU,
    backward: LSTM | GRU,
    sequences: tf.Tensor,
    mask: tf.Tensor,
    training: bool | None = False,
) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
    """Runs two layers of one cell over the same input, the second of them from its end.

    Args:
        forward: Returns its sequence and its states.
        backward: The same, with `go_backwards`.
        sequences: `(batch, time, features)`.
        mask: Booleans, `(batch, time)`; real steps stand before padding.
        training: Whether dropout is active.

    Returns:
        The outputs of both, in the order of the input, `(batch, time, 2 * units)`; and the last
        states of each, `(batch, units)`.
    """
    cell = _common_kernel(forward, backward, bool(training))
    if cell is None:
        sequence, *states = forward(sequences, mask=mask, training=training)
        reverse, *back_states = backward(sequences, mask=mask, training=training)
        return tf.concat([sequence, tf.reverse(reverse, axis=[1])], -1), states, back_states
    dtype = forward.compute_dtype
    sequences = tf.cast(sequences, dtype)
    weights, back_weights = (layer.kernel_weights(cell, training) for layer in (forward, backward))

    reference = partial(both_directions_reference, cell)
    found = kernel_of_both_directions(
        cell, sequences, weights, back_weights, mask, reference=reference
    )
    sequence, states, back_states = tf.nest.map_structure(lambda part: tf.cast(part, dtype), found)
    return sequence, list(states), list(back_states)


def _common_kernel(
    forward: LSTM | GRU, backward: LSTM | GRU, training: bool
) -> Literal["lstm", "gru"] | None:
    """Returns the kernel that runs both layers side by side, if there is one."""
    layers = (forward, backward)
    possible = (
        all(layer.built and layer.uses_own_loop(training) for layer in layers)
        and not any(layer.cell.dropout for layer in layers)
        and forward.kernel_cell == backward.kernel_cell
        and forward.units == backward.units
        and not recording()
        and usable(tf.as_dtype(forward.compute_dtype), training)
    )
    return forward.kernel_cell if possible else None
