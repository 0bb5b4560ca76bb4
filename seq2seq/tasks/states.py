"""The states of recurrent layers while they read one input, as arrays and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq.errors import UserError
from seq2seq.layers.call_recorder import Call
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = ("hidden", "cell")


@dataclass(frozen=True)
class InputStates:
    """Every state of every step for one input.

    Attributes:
        source: The input.
        prediction: Its prediction.
        tokens: The tokens that each part of the model reads: `encoder` (`encoder2` for a second
            text), `decoder` or `stack`.
        arrays: Float32 `(steps, units)` by names such as `encoder/layer_0/forward/cell`, in the
            order of the tokens: `hidden`, `cell`, gates (see `LSTM.state_sequences`); and each
            layer's output, of all its directions, as `encoder/layer_0/output`.
    """

    source: str
    prediction: str
    tokens: dict[str, list[str]]
    arrays: dict[str, np.ndarray]

    def by_layer(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns states and gates by the name of the layer, such as `encoder/layer_0/forward`."""
        layers: dict[str, dict[str, np.ndarray]] = {}
        for name, values in self.arrays.items():
            layer, _, field = name.rpartition("/")
            if field != "output":
                layers.setdefault(layer, {})[field] = values
        return layers


def input_states(
    task: Task[Any, Any], model: SequenceModel, example: Any, target: str | None = None
) -> InputStates:
    """Predicts from one input, and returns the states of the recurrent layers.

    Args:
        task: A task that is ready to predict.
        model: Its model.
        example: What the task predicts from.
        target: For a translation: what the decoder reads, instead of its own prediction.

    Raises:
        UserError: If the input has no token, or the task has no recurrent layers to observe.
    """
    if target is not None and not task.takes_target:
        raise UserError(f"--target: {type(task).__name__} predicts no text; leave it out.")
    source, prediction, tokens, calls = task.observe(model, example, target)
    arrays: dict[str, np.ndarray] = {}
    for name, layer_calls in _by_name(model, calls).items():
        steps = len(tokens[name.partition("/")[0]])
        for field, values in _states(layer_calls).items():
            arrays[f"{name}/{field}"] = values[:steps]
    return InputStates(source, prediction, tokens, {**arrays, **_outputs(arrays)})


def _by_name(model: SequenceModel, calls: Sequence[Call]) -> dict[str, list[Call]]:
    """Returns the calls of each recurrent layer by its name.

    An encoder that reads two texts is `encoder` for the first and `encoder2` for the second; a
    decoder that is called step by step has many calls for one text.
    """
    names = {id(layer): name for name, layer in model.recurrent_layers().items()}
    by_name: dict[str, list[Call]] = {}
    for call in calls:
        name = names.get(id(call.layer))
        if name is None:  # reads something else, such as the characters of words
            continue
        if name.startswith("encoder/") and name in by_name:
            name = name.replace("encoder", "encoder2", 1)
        by_name.setdefault(name, []).append(call)
    return by_name


def _states(calls: Sequence[Call]) -> dict[str, np.ndarray]:
    """Returns states and gates of a layer over all its calls, `(steps, units)` each."""
    sequences = [call.layer.state_sequences(*call[1:]) for call in calls]
    return {
        field: np.concatenate([fields[field][0] for fields in sequences]).astype(np.float32)
        for field in sequences[0]
    }


def _outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the output of each layer: the hidden states of its directions, concatenated."""
    hidden: dict[str, list[np.ndarray]] = {}
    for name, values in arrays.items():
        layer, _, field = name.rsplit("/", 2)
        if field == "hidden":
            hidden.setdefault(f"{layer}/output", []).append(values)
    return {name: np.concatenate(values, axis=-1) for name, values in hidden.items()}


def memory_states(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the cell states of an LSTM, or the hidden states of a GRU."""
    return fields.get("cell", fields["hidden"])


def state_figures(states: InputStates) -> "dict[str, Figure]":
    """Returns two figures for each layer and direction, by name: its states, and its gates."""
    from seq2seq.plots.states import state_figure

    figures = {}
    for layer, fields in states.by_layer().items():
        tokens = states.tokens[layer.partition("/")[0]]
        name = layer.replace("/", "_")
        own = {field: fields[field] for field in STATES if field in fields}
        gates = {field: values for field, values in fields.items() if field not in own}
        figures[f"{name}_states"] = state_figure(own, tokens, memory_states(fields), layer)
        figures[f"{name}_gates"] = state_figure(gates, tokens, memory_states(fields), layer)
    return figures
