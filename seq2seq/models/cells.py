"""The recurrent cells a model can be built of."""

import difflib
from typing import Any

import keras

from seq2seq.layers.checks import positive
from seq2seq.layers.recurrent import GRU, LSTM

CELLS: dict[str, type[keras.layers.Layer]] = {"lstm": LSTM, "gru": GRU}

STATE_FIELDS: dict[str, tuple[str, ...]] = {"lstm": ("h", "c"), "gru": ("h",)}
"""Names of a cell's states, in the order in which Keras returns and takes them."""


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
    return CELLS[cell](units, return_sequences=True, return_state=True, **kwargs)
