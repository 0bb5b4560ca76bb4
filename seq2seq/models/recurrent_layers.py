"""The recurrent cells of models: layers by name, their states, one layer's call."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import positive
from seq2seq.layers.recurrent import GRU, LSTM

CELLS: dict[str, type[keras.layers.Layer]] = {"lstm": LSTM, "gru": GRU}

STATE_FIELDS: dict[str, tuple[str, ...]] = {"lstm": ("h", "c"), "gru": ("h",)}
"""Names of a cell's states, in Keras' order."""


def recurrent_layer(cell: str, units: int, **kwargs: Any) -> keras.layers.Layer:
    """Makes a recurrent layer that returns its whole sequence and its states.

    Raises:
        ValueError: If `cell` is unknown or `units` is not a positive integer.
    """
    if cell not in CELLS:
        nearest = difflib.get_close_matches(str(cell).lower(), CELLS, n=1, cutoff=0.0)[0]
        known = ", ".join(CELLS)
        raise ValueError(f"cell: unknown cell '{cell}' (known: {known}); nearest is '{nearest}'")
    positive("units", units)
    layer = CELLS[cell](units, return_sequences=True, return_state=True, **kwargs)
    layer.supports_masking = True  # Keras 3.16 warns of masks for layers that do not pass them on
    return layer


def run_layer(
    layer: keras.layers.Layer,
    inputs: tf.Tensor,
    state: Mapping[str, tf.Tensor] | None,
    fields: Sequence[str],
    **options: Any,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Calls a recurrent layer with its initial state by field; returns outputs and final state."""
    initial = None if state is None else [state[field] for field in fields]
    outputs, *final = layer(inputs, initial_state=initial, **options)
    return outputs, dict(zip(fields, final, strict=True))


def state_inputs(
    layers: int, fields: Sequence[str], units: int, prefix: str = "state"
) -> list[dict[str, Any]]:
    """Returns Keras inputs for states: a list over layers of field -> `(batch, units)`."""
    return [
        {
            field: keras.Input((units,), dtype="float32", name=f"{prefix}_{layer}_{field}")
            for field in fields
        }
        for layer in range(layers)
    ]
