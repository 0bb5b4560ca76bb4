"""Sessions: predict from many streams of input, whose states are kept between calls."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.inference.state_store import StateStore
from seq2seq.models.base import SequenceModel
from seq2seq.ops.dispatch import inference_kernels
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.trust import Trust

_INITIAL_CAPACITY = 64


class Session:
    """Predicts from inputs that arrive in pieces, from many sources at once.

    A source, such as a user or a sensor, has a name and a state of its own. The outputs for pieces
    equal those for the same steps in one call. Pieces of different lengths from different sources
    are one batch.

    Args:
        step_model: A functional model that starts from given states. Its inputs are `states` (any
            nest of `(batch, ...)` tensors, zeros at the start), `length` `(batch,)` and the data,
            `(batch, steps)` or `(batch, steps, features)`; its outputs are `states` and one more
            tensor, `(batch, steps, ...)`.
        start_tokens: Tokens that each source gets before its first piece.
        batch_size: The maximum number of sources in a batch.

    Raises:
        UserError: If the model has other inputs or outputs.

    Example:
        >>> session = Session.load("outputs/generation/tiny_shakespeare/2026-11-22_09-00-00")
        >>> first = session.feed({"ann": [301, 270], "bob": [281]})
        >>> first["ann"].shape  # logits of the token after each step
        (2, 325)
        >>> session.feed({"bob": [277, 290]})["bob"].shape
        (2, 325)
    """

    def __init__(
        self, step_model: keras.Model, start_tokens: Sequence[int] = (), batch_size: int = 1024
    ) -> None:
        self.step_model, self.batch_size = step_model, batch_size
        self._start_tokens = list(start_tokens)
        inputs, outputs = _inputs_and_outputs(step_model)
        self._structure = inputs.pop("states")
        del inputs["length"], outputs["states"]
        (self._input_name, data), (self._output_name, _) = *inputs.items(), *outputs.items()
        self._step_shape, self._dtype = tuple(data.shape[2:]), data.dtype
        # One table for each tensor of the state, with one row for each source.
        self._tables = [
            np.zeros((_INITIAL_CAPACITY, *state.shape[1:]), state.dtype)
            for state in tf.nest.flatten(self._structure)
        ]
        self._rows: dict[str, int] = {}
        self._free_rows = list(range(_INITIAL_CAPACITY))
        # Rows whose state is zero, whatever the tables hold.
        self._is_initial = np.ones(_INITIAL_CAPACITY, bool)
        self._step = tf.function(
            self._run_model,
            input_signature=[
                tf.TensorSpec((None, None, *self._step_shape), data.dtype),
                tf.TensorSpec((None,), tf.int32),
                [tf.TensorSpec((None, *table.shape[1:]), table.dtype) for table in self._tables],
            ],
            autograph=False,
        )

    @classmethod
    def load(cls, run_folder: str | Path, batch_size: int = 1024, trust: Trust = ()) -> "Session":
        """Opens a session with the model of a run; `trust` as for `Predictor.load`.

        Raises:
            UserError: If there is no model, or it needs the complete input before it predicts.
        """
        _, model = load_model_folder(Path(run_folder), trust)
        return cls.of(model, str(run_folder), batch_size)

    @classmethod
    def of(cls, model: SequenceModel, name: str, batch_size: int = 1024) -> "Session":
        """Opens a session with a model; errors call it by the name.

        Raises:
            UserError: If the model needs the complete input before it predicts.
        """
        try:
            return cls(model.step_model, model.start_tokens, batch_size)
        except ValueError as error:
            raise UserError(f"{name}: cannot be fed piece by piece: {error}") from error

    @property
    def sources(self) -> list[str]:
        """The sources that have a state, oldest first."""
        return list(self._rows)

    def feed(self, pieces: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Continues sources with a piece each; new sources start from zero states.

        Args:
            pieces: Source to its new steps: token ids `(steps,)`, or vectors `(steps, features)`.

        Returns:
            Source to the model's output after each step, `(steps, ...)`.

        Raises:
            UserError: If a piece has another shape or type.
        """
        rows = {source: self._row(source) for source in pieces}
        outputs: dict[str, np.ndarray] = {}
        try:
            by_length = sorted(pieces, key=lambda source: (len(pieces[source]), rows[source]))
        except TypeError as error:
            raise self._piece_error(error) from error
        for start in range(0, len(by_length), self.batch_size):
            batch = by_length[start : start + self.batch_size]
            batch_outputs = self._feed_batch(
                [pieces[source] for source in batch], np.array([rows[source] for source in batch])
            )
            outputs.update(zip(batch, batch_outputs, strict=True))
        return {source: outputs[source] for source in pieces}

    def _feed_batch(self, pieces: Sequence[Any], rows: np.ndarray) -> list[np.ndarray]:
        is_initial = self._is_initial[rows]
        start_tokens = self._start_tokens if is_initial.any() else []
        starts = np.where(is_initial, len(start_tokens), 0)
        lengths = starts + [len(piece) for piece in pieces]
        values = np.zeros((len(rows), max(lengths.max(), 1), *self._step_shape), self._dtype)
        for step, token in enumerate(start_tokens):
            values[is_initial, step] = token
        steps = np.arange(values.shape[1])
        in_piece = (steps >= starts[:, np.newaxis]) & (steps < lengths[:, np.newaxis])
        try:
            steps_of_pieces = [np.reshape(piece, (-1, *self._step_shape)) for piece in pieces]
            values[in_piece] = np.concatenate(steps_of_pieces)
        except (TypeError, ValueError) as error:
            raise self._piece_error(error) from error
        states = [table[rows] for table in self._tables]
        for state in states:
            state[is_initial] = 0
        outputs, new_states = self._step(values, lengths.astype(np.int32), states)
        for table, new_state in zip(self._tables, new_states, strict=True):
            table[rows] = new_state
        self._is_initial[rows] = False
        return [
            output[start:length]
            for output, start, length in zip(outputs.numpy(), starts, lengths, strict=True)
        ]

    def _piece_error(self, error: Exception) -> UserError:
        shape = self._step_shape
        expected = f"rows of {shape[0]} numbers" if shape else "one number for each step"
        return UserError(f"a piece is not {expected}, {self._dtype}: {error}")

    def _run_model(
        self, values: tf.Tensor, lengths: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        inputs = {
            self._input_name: values,
            "length": lengths,
            "states": tf.nest.pack_sequence_as(self._structure, states),
        }
        with inference_kernels():
            outputs = self.step_model(inputs)
        new_states = tf.nest.flatten(outputs["states"])
        new_states = [tf.cast(new, old.dtype) for new, old in zip(new_states, states, strict=True)]
        return outputs[self._output_name], new_states

    def reset(self, sources: Iterable[str]) -> None:
        """Resets the states of sources to zero."""
        for source in sources:
            self._is_initial[self._known_row(source)] = True

    def close(self, sources: Iterable[str]) -> None:
        """Forgets sources."""
        for source in list(sources):
            row = self._known_row(source)
            self._is_initial[row] = True
            del self._rows[source]
            self._free_rows.append(row)

    def state(self, source: str) -> Any:
        """Returns a copy of a source's state: the model's nest, without the batch axis."""
        row = self._known_row(source)
        values = [table[row] * (not self._is_initial[row]) for table in self._tables]
        return tf.nest.pack_sequence_as(self._structure, values)

    def set_state(self, source: str, state: Any) -> None:
        """Sets the state of a source, as returned by `state`."""
        row = self._row(source)
        for table, value in zip(self._tables, tf.nest.flatten(state), strict=True):
            table[row] = value
        self._is_initial[row] = False

    def save(self, store: StateStore, sources: Iterable[str] | None = None) -> None:
        """Writes the states of sources, by default of all, in one transaction.

        Raises:
            UserError: If the store belongs to another model, or cannot be written.
        """
        states: dict[str, bytes | None] = {}
        for source in self._rows if sources is None else sources:
            row = self._known_row(source)
            content = b"".join(table[row].tobytes() for table in self._tables)
            states[source] = None if self._is_initial[row] else content
        store.write(states, self.identity)

    def restore(self, store: StateStore, sources: Iterable[str] | None = None) -> list[str]:
        """Reads the states of sources, by default of all that are stored.

        Returns:
            The sources that have a stored state; the others keep theirs.

        Raises:
            UserError: If the store belongs to another model, or cannot be read.
        """
        stored = store.read(sources, self.identity)
        for source, content in stored.items():
            row, offset = self._row(source), 0
            for table in self._tables:
                state = table[row]
                values = np.frombuffer(content, state.dtype, state.size, offset)
                table[row] = values.reshape(state.shape)
                offset += state.nbytes
            self._is_initial[row] = False
        return list(stored)

    @cached_property
    def identity(self) -> str:
        """A hash of the weights; stored states are of use to the same weights only."""
        digest = hashlib.sha256()
        for weight in self.step_model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return digest.hexdigest()

    def _known_row(self, source: str) -> int:
        if source not in self._rows:
            raise KeyError(f"source {source!r} is not open")
        return self._rows[source]

    def _row(self, source: str) -> int:
        """Returns the row of a source, a free one if it is new."""
        if source not in self._rows:
            if not self._free_rows:
                self._double_capacity()
            self._rows[source] = self._free_rows.pop()
        return self._rows[source]

    def _double_capacity(self) -> None:
        capacity = len(self._is_initial)
        self._tables = [np.concatenate([table, np.zeros_like(table)]) for table in self._tables]
        self._is_initial = np.concatenate([self._is_initial, np.ones(capacity, bool)])
        self._free_rows = list(range(2 * capacity - 1, capacity - 1, -1))


def _inputs_and_outputs(step_model: keras.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a step model's symbolic inputs and outputs by name.

    Raises:
        UserError: If a session cannot use the model.
    """

    def refused(reason: str) -> UserError:
        name = getattr(step_model, "name", step_model)
        return UserError(
            f"a session cannot use the model {name!r} ({type(step_model).__name__}): {reason}. It "
            "needs a functional Keras model of {'states', 'length', DATA} -> {'states', OUTPUT}, "
            "such as SequenceModel.step_model; docs/sessions.md shows how to build one from "
            "your own layers"
        )

    if not isinstance(step_model, keras.Model):
        raise refused("it is no Keras model")
    try:
        tensors = {"inputs": step_model.input, "outputs": step_model.output}
    except (AttributeError, ValueError) as error:
        raise refused("it is not functional, so its states are unknown") from error
    for side, required in (("inputs", ["states", "length"]), ("outputs", ["states"])):
        if not isinstance(tensors[side], dict):
            raise refused(f"its {side} are no dict")
        missing = [name for name in required if name not in tensors[side]]
        if missing:
            raise refused(f"it has no {missing[0]!r} among its {side} ({', '.join(tensors[side])})")
        if len(tensors[side]) != len(required) + 1:
            raise refused(f"its {side} must be {', '.join(required)} and one more")
    before, after = (_shapes(side["states"]) for side in tensors.values())
    if before != after:
        raise refused(f"its states come in as {before} and go out as {after}")
    return dict(tensors["inputs"]), dict(tensors["outputs"])


def _shapes(states: Any) -> Any:
    """Returns the shapes of a nest of states, without the batch axis."""
    return keras.tree.map_structure(lambda state: list(state.shape[1:]), states)
