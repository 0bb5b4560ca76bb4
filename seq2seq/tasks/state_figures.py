"""Pictures of the states of one input."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from seq2seq.plots.states import state_figure
from seq2seq.tasks.states import InputStates

STATES = ("hidden", "cell")


def remembered(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns what a layer carries on: the cell state of an LSTM, the hidden one of a GRU."""
    return fields.get("cell", fields["hidden"])


def state_figures(found: InputStates) -> dict[str, Figure]:
    """Returns two pictures for each layer and direction, by name: its states, and its gates."""
    figures = {}
    for layer, fields in found.by_layer().items():
        tokens = found.tokens[layer.partition("/")[0]]
        name = layer.replace("/", "_")
        states = {field: fields[field] for field in STATES if field in fields}
        gates = {field: values for field, values in fields.items() if field not in states}
        figures[f"{name}_states"] = state_figure(states, tokens, remembered(fields), layer)
        figures[f"{name}_gates"] = state_figure(gates, tokens, remembered(fields), layer)
    return figures
