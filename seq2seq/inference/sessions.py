"""Sessions: the states of many sources, kept from one piece of input to the next."""

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
from seq2seq.ops.dispatch import inference_kernels
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.trust import Trust

_FIRST_CAPACITY = 64


class Session:
    """Predicts from inputs that arrive piece by piece, from many sources at once.

    Each source has a state of its own. What is predicted after some pieces is what would be
    predicted after the whole: a piece may be one step or many, and pieces of different lengths from
    different sources go through the model in one batch.

    Args:
        step_model: Goes on from given states. Its inputs are `states` (any nest of `(batch, ...)`
            tensors, which begin as zeros), `length` `(batch,)` and what is read, `(batch, steps)`
            or `(batch, steps, features)`; its outputs are `states` and one more tensor, `(batch,
            steps, ...)`.
        beginning: What each source reads before its first piece, such as a start token.
        batch_size: The most sources in one batch.

    Raises:
        UserError: If the model is no such model, saying what it lacks.

    Example:
        >>> session = Session.load("outputs/generation/tiny_shakespeare/2026-11-22_09-00-00")
        >>> first = session.feed({"ann": [301, 270], "bob": [281]})
        >>> first["ann"].shape  # logits of the token that follows each step
        (2, 325)
        >>> session.feed({"bob": [277, 290]})["bob"].shape
        (2, 325)
    """

    def __init__(
        self, step_model: keras.Model, beginning: Sequence[int] = (), batch_size: int = 1024
    ) -> None:
        self.step_model, self.batch_size = step_model, batch_size
        self._beginning = list(beginning)
        inputs, outputs = _inputs_and_outputs(step_model)
        states = inputs.pop("states")
        del inputs["length"], outputs["states"]
        (self._read_name, read), (self._output_name, _) = *inputs.items(), *outputs.items()
        self._dtype = read.dtype
        self._nest = states
        # One table for each tensor of the state, with a row for each source.
        self._tables = [
            np.zeros((_FIRST_CAPACITY, *each.shape[1:]), each.dtype)
            for each in tf.nest.flatten(states)
        ]
        self._rows: dict[str, int] = {}
        self._free = list(range(_FIRST_CAPACITY))
        self._fresh = np.ones(
            _FIRST_CAPACITY, bool
        )  # rows that start from zeros, whatever they hold
        self._step = tf.function(
            self._stepped,
            input_signature=[
                tf.TensorSpec((None, None, *read.shape[2:]), read.dtype),
                tf.TensorSpec((None,), tf.int32),
                [tf.TensorSpec((None, *table.shape[1:]), table.dtype) for table in self._tables],
            ],
            autograph=False,
        )

    @classmethod
    def load(cls, run_folder: str | Path, batch_size: int = 1024, trust: Trust = ()) -> "Session":
        """Opens a session with the model of a run; `trust` as for `Predictor.load`.

        Raises:
            UserError: If there is no model, or one that reads its whole input before it predicts.
        """
        _, model = load_model_folder(Path(run_folder), trust)
        try:
            return cls(model.step_model, model.start_tokens, batch_size)
        except ValueError as error:
            raise UserError(f"{run_folder}: cannot be fed piece by piece: {error}") from error

    @property
    def sources(self) -> list[str]:
        """The sources that have a state, from the oldest on."""
        return list(self._rows)

    def feed(self, pieces: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Goes on with some sources; those not seen before start from zeros.

        Args:
            pieces: By source, what has arrived: token ids `(steps,)`, or rows `(steps, features)`.

        Returns:
            By source, the model's output after each step, `(steps, ...)`.

        Raises:
            UserError: If a piece is something else.
        """
        rows = {source: self._row(source) for source in pieces}
        found: dict[str, np.ndarray] = {}
        try:
            order = sorted(pieces, key=lambda source: (len(pieces[source]), rows[source]))
        except TypeError as error:
            raise self._no_piece(error) from error
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            outputs = self._feed_batch(
                [pieces[source] for source in chosen],
                np.array([rows[source] for source in chosen]),
            )
            found.update(zip(chosen, outputs, strict=True))
        return {source: found[source] for source in pieces}

    def _feed_batch(self, pieces: Sequence[Any], rows: np.ndarray) -> list[np.ndarray]:
        fresh = self._fresh[rows]
        begun = self._beginning if fresh.any() else []
        skipped = np.where(fresh, len(begun), 0)
        lengths = np.array([len(piece) for piece in pieces]) + skipped
        shape = tuple(self._step.input_signature[0].shape[2:])
        values = np.zeros((len(rows), max(lengths.max(), 1), *shape), self._dtype)
        for step, value in enumerate(begun):
            values[fresh, step] = value
        steps = np.arange(values.shape[1])
        arrived = (steps >= skipped[:, np.newaxis]) & (steps < lengths[:, np.newaxis])
        try:
            values[arrived] = np.concatenate([np.reshape(piece, (-1, *shape)) for piece in pieces])
        except (TypeError, ValueError) as error:
            raise self._no_piece(error) from error
        outputs, after = self._step(values, lengths.astype(np.int32), self._gathered(rows, fresh))
        for table, new in zip(self._tables, after, strict=True):
            table[rows] = new
        self._fresh[rows] = False
        outputs = outputs.numpy()
        return [
            output[skip:length]
            for output, skip, length in zip(outputs, skipped, lengths, strict=True)
        ]

    def _no_piece(self, error: Exception) -> UserError:
        shape = self._step.input_signature[0].shape[2:]
        wanted = f"rows of {shape[0]} numbers" if shape else "one number for each step"
        return UserError(f"a piece is not {wanted}, {self._dtype}: {error}")

    def _gathered(self, rows: np.ndarray, fresh: np.ndarray) -> list[np.ndarray]:
        states = [table[rows] for table in self._tables]
        for state in states:
            state[fresh] = 0
        return states

    def _stepped(
        self, values: tf.Tensor, lengths: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        nest = tf.nest.pack_sequence_as(self._nest, states)
        with inference_kernels():
            outputs = self.step_model({self._read_name: values, "length": lengths, "states": nest})
        after = tf.nest.flatten(outputs["states"])
        after = [tf.cast(new, old.dtype) for new, old in zip(after, states, strict=True)]
        return outputs[self._output_name], after

    def reset(self, sources: Iterable[str]) -> None:
        """Lets sources start anew; the cost does not depend on the model."""
        for source in sources:
            self._fresh[self._known(source)] = True

    def close(self, sources: Iterable[str]) -> None:
        """Forgets sources."""
        for source in list(sources):
            row = self._known(source)
            self._fresh[row] = True
            del self._rows[source]
            self._free.append(row)

    def state(self, source: str) -> Any:
        """Returns a copy of a source's state: the model's nest, without the batch axis."""
        row = self._known(source)
        values = [table[row] * (not self._fresh[row]) for table in self._tables]
        return tf.nest.pack_sequence_as(self._nest, values)

    def set_state(self, source: str, state: Any) -> None:
        """Lets a source go on from a state, as `state` returns it."""
        row = self._row(source)
        for table, value in zip(self._tables, tf.nest.flatten(state), strict=True):
            table[row] = value
        self._fresh[row] = False

    def save(self, store: StateStore, sources: Iterable[str] | None = None) -> None:
        """Writes the states of sources, by default of all, at once: all of them or none.

        Raises:
            UserError: If the store belongs to another model, or cannot be written.
        """
        states: dict[str, bytes | None] = {}
        for source in self._rows if sources is None else sources:
            row = self._known(source)
            values = (table[row].tobytes() for table in self._tables)
            states[source] = None if self._fresh[row] else b"".join(values)
        store.write(states, self.identity)

    def restore(self, store: StateStore, sources: Iterable[str] | None = None) -> list[str]:
        """Reads the states of sources, by default of all that are stored.

        Returns:
            The sources that had a stored state; others are left as they are.

        Raises:
            UserError: If the store belongs to another model, or cannot be read.
        """
        stored = store.read(sources, self.identity)
        for source, content in stored.items():
            row, begin = self._row(source), 0
            for table in self._tables:
                end = begin + table[row].nbytes
                table[row] = np.frombuffer(content[begin:end], table.dtype).reshape(
                    table[row].shape
                )
                begin = end
            self._fresh[row] = False
        return list(stored)

    @cached_property
    def identity(self) -> str:
        """A hash of the weights, which tells whether a stored state is of this model."""
        digest = hashlib.sha256()
        for weight in self.step_model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return digest.hexdigest()

    def _known(self, source: str) -> int:
        if source not in self._rows:
            raise KeyError(f"source {source!r} is not open")
        return self._rows[source]

    def _row(self, source: str) -> int:
        """Returns the row of a source, which is opened where it is new."""
        if source not in self._rows:
            if not self._free:
                self._grow()
            self._rows[source] = self._free.pop()
        return self._rows[source]

    def _grow(self) -> None:
        capacity = len(self._fresh)
        self._tables = [np.concatenate([t, np.zeros_like(t)]) for t in self._tables]
        self._fresh = np.concatenate([self._fresh, np.ones(capacity, bool)])
        self._free = list(range(2 * capacity - 1, capacity - 1, -1))


def _inputs_and_outputs(step_model: keras.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a step model's symbolic inputs and outputs by name.

    Raises:
        UserError: If a session cannot go on with it.
    """

    def refused(reason: str) -> UserError:
        name = getattr(step_model, "name", step_model)
        return UserError(
            f"a session cannot use the model {name!r} ({type(step_model).__name__}): {reason}. It "
            "needs a functional Keras model of {'states', 'length', what is read} -> {'states', "
            "what is predicted}, such as SequenceModel.step_model; docs/state.md builds one of "
            "one's own layers"
        )

    if not isinstance(step_model, keras.Model):
        raise refused("it is no Keras model")
    try:
        ends = {"inputs": step_model.input, "outputs": step_model.output}
    except (AttributeError, ValueError) as error:
        raise refused("it is not functional, so what it carries cannot be seen") from error
    for side, needed in (("inputs", ["states", "length"]), ("outputs", ["states"])):
        if not isinstance(ends[side], dict):
            raise refused(f"its {side} are no dict")
        missing = [name for name in needed if name not in ends[side]]
        if missing:
            raise refused(f"it has no {missing[0]!r} among its {side} ({', '.join(ends[side])})")
        if len(ends[side]) != len(needed) + 1:
            raise refused(f"it has not one more of its {side} beside {' and '.join(needed)}")
    before, after = (_shapes(end["states"]) for end in ends.values())
    if before != after:
        raise refused(f"its states come in as {before} and go out as {after}")
    return dict(ends["inputs"]), dict(ends["outputs"])


def _shapes(states: Any) -> Any:
    """Returns the shapes of a nest of states, a row of each, in a nest of the same structure."""
    return keras.tree.map_structure(lambda state: list(state.shape[1:]), states)
