"""What the recurrent layers of a model do while they read an input, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import START
from seq2seq.errors import UserError
from seq2seq.layers.recording import Call, recorded_calls
from seq2seq.tasks.answers import source_tokens
from seq2seq.tasks.base import Row, Task
from seq2seq.tasks.classification import Classification
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.padding import padded
from seq2seq.tasks.tagging import Tagging
from seq2seq.tasks.translation import Translation


@dataclass(frozen=True)
class InputStates:
    """Every state of every step for one input.

    Attributes:
        row: The input and its prediction.
        tokens: What each part reads, step by step, by the part's name: `encoder` (`encoder2` for a
            second text), `decoder` or `stack`.
        arrays: Float32 `(steps, units)` by names such as `encoder/layer_0/forward/cell`, in the
            order of the tokens: `hidden`, `cell`, gates (see `LSTM.state_sequences`); and each
            layer's output, of all its directions, as `encoder/layer_0/output`.
    """

    row: Row
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


Tokens = dict[str, list[str]]


def input_states(task: Task, model: Any, given: Any, target: str | None = None) -> InputStates:
    """Runs the model on one input, and tells what its recurrent layers do.

    Args:
        task: A task that is ready to predict.
        model: Its model.
        given: What the task predicts from.
        target: For a translation: what the decoder reads, instead of what it predicts itself.

    Raises:
        UserError: If the input has no token, or the task has no recurrent layers to look into.
    """
    if target is not None and not isinstance(task, Translation):
        raise UserError(f"--target: {type(task).__name__} predicts no text; leave it out.")
    row, tokens, calls = read(task, model, given, target)
    arrays: dict[str, np.ndarray] = {}
    for name, some in _by_name(model, calls).items():
        steps = len(tokens[name.partition("/")[0]])
        for field, values in _states(some).items():
            arrays[f"{name}/{field}"] = values[:steps]
    return InputStates(row, tokens, {**arrays, **_outputs(arrays)})


@singledispatch
def read(task: Task, model: Any, given: Any, target: str | None) -> tuple[Row, Tokens, list[Call]]:
    """Lets a task predict from one input while its recurrent layers are watched.

    Returns:
        The row of the prediction, the tokens that each part has read, and the calls of layers.
    """
    raise UserError(f"{type(task).__name__} has no recurrent layers that can be looked into.")


@read.register
def _(
    task: Translation, model: Any, given: Any, target: str | None
) -> tuple[Row, Tokens, list[Call]]:
    """The decoder reads the target, or what is predicted, with teacher forcing."""
    row = {"source": given, "prediction": target}
    if target is None:
        row = task.predict(model, [given])[0]
    ids = task.tokenizer.source.encode([row["source"]])
    encoder = source_tokens(row["source"], ids[0], task.tokenizer.source)
    _check(row["source"], encoder)
    if model.reverse_source is not None:
        encoder.reverse()
    target_ids = [np.append(START, task.tokenizer.target.encode([str(row["prediction"])])[0])]
    source, source_length = padded(ids)
    inputs = {"source": source, "source_length": source_length, "target": padded(target_ids)[0]}
    with recorded_calls() as calls:
        model.training_model(inputs)
    decoder = task.tokenizer.target.pieces(target_ids[0].tolist())
    return row, {"encoder": encoder, "decoder": decoder}, calls


@read.register
def _(
    task: Classification, model: Any, given: Any, target: str | None
) -> tuple[Row, Tokens, list[Call]]:
    row = task.predict(model, [given])[0]
    texts = [row[field] for field in ("source", "source2") if field in row]
    ids = task.tokenizer.encode(texts)
    tokens = [source_tokens(*each, task.tokenizer) for each in zip(texts, ids, strict=True)]
    with recorded_calls() as calls:
        for text, each, encoder, read_by in zip(texts, ids, model.encoders, tokens, strict=True):
            _check(text, read_by)
            encoder(model.embedding(each[np.newaxis]), np.array([len(each)]))
    return row, dict(zip(("encoder", "encoder2"), tokens, strict=False)), calls


@read.register
def _(task: Tagging, model: Any, given: Any, target: str | None) -> tuple[Row, Tokens, list[Call]]:
    with _watched() as calls:
        row = task.predict(model, [given])[0]
    _check(row["source"], row["tokens"])
    return row, {"encoder": list(row["tokens"])}, calls


@read.register
def _(
    task: Generation, model: Any, given: Any, target: str | None
) -> tuple[Row, Tokens, list[Call]]:
    """The text is read from a state of zeros; predicted is the likeliest token to follow."""
    ids = np.append(START, task.tokenizer.encode([given])[0]).astype(np.int32)
    with recorded_calls() as calls:
        logits = model.training_model({"tokens": ids[np.newaxis]})
    following = task.tokenizer.pieces([int(np.argmax(logits[0, -1]))])[0]
    row = {"source": given, "prediction": following}
    return row, {"stack": task.tokenizer.pieces(ids.tolist())}, calls


@contextmanager
def _watched() -> Iterator[list[Call]]:
    """Runs what would be a graph step by step, so that calls of layers have values."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with recorded_calls() as calls:
            yield calls
    finally:
        tf.config.run_functions_eagerly(before)


def _check(text: str, tokens: Sequence[str]) -> None:
    if not tokens:
        raise UserError(f"{text!r}: has no token to look at.")


def _by_name(model: Any, calls: Sequence[Call]) -> dict[str, list[Call]]:
    """Returns the calls of each layer that has a name, such as `encoder/layer_0/forward`.

    An encoder that reads two texts is `encoder` for the first and `encoder2` for the second; a
    decoder that is called step by step has many calls for one text.
    """
    names = _layer_names(model)
    found: dict[str, list[Call]] = {}
    for call in calls:
        name = names.get(id(call.layer))
        if name is None:  # reads something else, such as the characters of words
            continue
        if name.startswith("encoder/") and name in found:
            name = name.replace("encoder", "encoder2", 1)
        found.setdefault(name, []).append(call)
    return found


def _layer_names(model: Any) -> dict[int, str]:
    """Returns the name of each recurrent layer by its `id`."""
    stacks: dict[str, Sequence[Any]] = {}
    encoders = getattr(model, "encoders", [model.encoder] if hasattr(model, "encoder") else [])
    for part, encoder in zip(("encoder", "encoder2"), dict.fromkeys(encoders), strict=False):
        stacks[f"{part}/layer_{{}}/forward"] = encoder.forward_stack
        stacks[f"{part}/layer_{{}}/backward"] = encoder.backward_stack
    for part in ("decoder", "stack"):
        if hasattr(model, part):
            stacks[f"{part}/layer_{{}}/forward"] = getattr(model, part).stack
    return {
        id(layer): name.format(number)
        for name, stack in stacks.items()
        for number, layer in enumerate(stack)
    }


def _states(calls: Sequence[Call]) -> dict[str, np.ndarray]:
    """Returns states and gates of a layer over all its calls, `(steps, units)` each."""
    several = [call.layer.state_sequences(*call[1:]) for call in calls]
    return {
        field: np.concatenate([each[field][0] for each in several]).astype(np.float32)
        for field in several[0]
    }


def _outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the output of each layer: the hidden states of its directions, side by side."""
    hidden: dict[str, list[np.ndarray]] = {}
    for name, values in arrays.items():
        layer, _, field = name.rsplit("/", 2)
        if field == "hidden":
            hidden.setdefault(f"{layer}/output", []).append(values)
    return {name: np.concatenate(values, axis=-1) for name, values in hidden.items()}
