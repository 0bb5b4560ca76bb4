"""The recurrent cells a model can be built of."""

import difflib
from typing import Any

import keras

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


def positive(name: str, value: int) -> None:
    """Checks a size that must be a whole number of at least 1.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")


def fraction(name: str, value: float) -> None:
    """Checks a rate in [0, 1).

    Raises:
        ValueError: If it is outside.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name}: must be at least 0 and below 1, got {value!r}")
