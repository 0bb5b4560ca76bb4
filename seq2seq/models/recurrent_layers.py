"""The recurrent cells of models: layers by name, their states, one layer's call."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import StateSpec
from seq2seq.layers.checks import positive
from seq2seq.layers.layer_norm_lstm import LayerNormLSTM
from seq2seq.layers.minimal import MinGRU, MinLSTM
from seq2seq.layers.mogrifier_lstm import MogrifierLSTM
from seq2seq.layers.recurrent import GRU, LSTM

CELLS: dict[str, type[keras.layers.Layer]] = {
    "lstm": LSTM,
    "gru": GRU,
    "layer_norm_lstm": LayerNormLSTM,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "mogrifier_lstm": MogrifierLSTM,
}

STATE_FIELDS: dict[str, tuple[str, ...]] = {
    "lstm": ("h", "c"),
    "gru": ("h",),
    "layer_norm_lstm": ("h", "c"),
    "min_gru": ("h",),
    "min_lstm": ("h",),
    "mogrifier_lstm": ("h", "c"),
}
"""Names of a cell's states, in Keras' order."""


def layer_widths(units: int | Sequence[int], layers: int | None) -> tuple[int, ...]:
    """Returns the units of each layer of a stack.

    Args:
        units: The units of all layers, or a list of those of each layer.
        layers: The number of layers; None for the length of that list, or 1.

    Raises:
        ValueError: If one is not positive, or the list has another length.
    """
    if not isinstance(units, int | list | tuple) or units in ([], ()):
        raise ValueError(
            f"units: must be a whole number of at least 1, or a list of them, got {units!r}"
        )
    if layers is not None:
        positive("layers", layers)
    widths = [units] * (layers or 1) if isinstance(units, int) else list(units)
    for width in widths:
        positive("units", width)
    if layers not in (None, len(widths)):
        raise ValueError(
            f"layers: is {layers}, but units={widths} is for {len(widths)} layer(s); "
            "set layers to null, or give a width for each layer"
        )
    return tuple(widths)


def recurrent_layer(cell: str, units: int, **kwargs: Any) -> keras.layers.Layer:
    """Makes a recurrent layer that returns its whole sequence and its states.

    Raises:
        ValueError: If `cell` is unknown.
    """
    if cell not in CELLS:
        nearest = difflib.get_close_matches(str(cell).lower(), CELLS, n=1, cutoff=0.0)[0]
        known = ", ".join(CELLS)
        raise ValueError(f"cell: unknown cell '{cell}' (known: {known}); nearest is '{nearest}'")
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


def state_inputs(spec: StateSpec, prefix: str = "state") -> list[dict[str, Any]]:
    """Returns Keras inputs for states: a list over layers of field -> `(batch, units)`."""
    return [
        {
            field: keras.Input((width,), dtype="float32", name=f"{prefix}_{layer}_{field}")
            for field in spec.fields
        }
        for layer, width in enumerate(spec.widths)
    ]
