"""Attention: a decoder's weighted averages of the encoder's outputs.

An attention keeps nothing between calls. `prepare` projects the encoder's outputs once a source;
its state between steps is a value that the caller holds, any nest of tensors with one row a source,
so that a search can carry, reorder and tile it.
"""

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.attention_scores import (
    AdditiveScore,
    Coverage,
    DotScore,
    History,
    Location,
    PredictedWindow,
    Score,
)
from seq2seq.layers.checks import positive
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.ops.attention import dot_attention, masked_softmax
from seq2seq.ops.scan import scan

Memory = dict[str, tf.Tensor]
"""What is attended to: `keys` and `values`, `(batch, source_length, units)`, each of its own width,
and `mask`, booleans `(batch, source_length)`, true where a source token is real."""

AttentionState = dict[str, tf.Tensor]
"""The state of an attention between steps, by name; empty if it has none."""


@keras.saving.register_keras_serializable(package="seq2seq")
class PrepareMemory(ConfiguredLayer):
    """Projects encoder outputs to keys and values, once a source."""

    def __init__(self, keys: keras.layers.Layer, values: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys, self.values = keys, values

    def build(self, outputs_shape: Any, lengths_shape: Any) -> None:
        """Builds the projections."""
        for projection in (self.keys, self.values):
            if not projection.built:
                projection.build(outputs_shape)

    def call(self, outputs: tf.Tensor, lengths: tf.Tensor) -> Memory:
        """See `Attention.prepare`."""
        mask = tf.sequence_mask(lengths, tf.shape(outputs)[1])
        return {"keys": self.keys(outputs), "values": self.values(outputs), "mask": mask}


class Attention(ConfiguredLayer):
    """Base class: averages the values of the source by weights that depend on a query.

    Args:
        keys: Maps encoder outputs to keys.
        values: Maps encoder outputs to values; by default they are the values.
        memory: Both projections, where they exist already, as in a model that is loaded.
    """

    def __init__(
        self,
        keys: keras.layers.Layer,
        values: keras.layers.Layer | None = None,
        memory: PrepareMemory | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the state stays float32
        with default_policy(self.dtype_policy):
            values = values or keras.layers.Identity()
            self.memory = memory or PrepareMemory(keys, values, name="memory")

    def arguments(self) -> dict[str, Any]:
        """Adds the memory, which a decoder's model has as a layer, too."""
        return {**super().arguments(), "memory": self.memory}

    def prepare(self, outputs: tf.Tensor, lengths: tf.Tensor) -> Memory:
        """Makes the memory of encoder outputs, `(batch, source_length, units)`, once a source.

        Lengths are the real tokens of each source, int `(batch,)`. A row may have none: its weights
        and its context are then zeros.
        """
        return self.memory(outputs, lengths)

    def initial_state(self, memory: Memory) -> AttentionState:
        """Returns the state before the first step."""
        return {}

    def initial_context(self, memory: Memory) -> tf.Tensor:
        """Returns the context before the first step: zeros `(batch, units)`."""
        return keras.ops.zeros_like(memory["values"][:, 0])

    def call(
        self,
        query: tf.Tensor,
        memory: Memory,
        state: AttentionState,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, AttentionState]:
        """Attends to the memory from any number of steps.

        In a single step there may be several hypotheses a source: `rows = batch * width`, those of
        one source beside each other. The memory need not be copied for them.

        Args:
            query: Decoder outputs, `(batch, steps, query_units)` or `(rows, 1, query_units)`.
            memory: From `prepare`.
            state: From `initial_state` or the call before.
            training: Whether gradients are wanted.

        Returns:
            The context `(batch, steps, units)`, the weights, float32 `(batch, steps,
            source_length)`, which are 0 at padding, and the state after the last step.
        """
        # As Keras' autocast would, but the state stays as it is.
        cast = {name: tf.cast(memory[name], self.compute_dtype) for name in ("keys", "values")}
        query, memory = tf.cast(query, self.compute_dtype), {**memory, **cast}
        if query.shape[1] != 1:
            return self.attend(query, memory, state, bool(training), one_step=False)
        query = side_by_side(query, memory)
        context, weights, state = self.attend(query, memory, state, bool(training), one_step=True)
        return row_by_row(context), row_by_row(weights), state

    @abstractmethod
    def attend(
        self,
        query: tf.Tensor,
        memory: Memory,
        state: AttentionState,
        training: bool,
        one_step: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, AttentionState]:
        """Does `call` in the compute dtype; in `one_step` steps are the hypotheses of a source."""


def side_by_side(rows: tf.Tensor, memory: Memory) -> tf.Tensor:
    """Returns one step of all hypotheses, `(rows, 1, ...)`, as `(batch, width, ...)`."""
    batch = tf.shape(memory["mask"])[0]
    return tf.reshape(rows, (batch, -1, *keras.ops.shape(rows)[2:]))


def row_by_row(hypotheses: tf.Tensor) -> tf.Tensor:
    """Returns `(batch, width, ...)` as one step, `(rows, 1, ...)`."""
    return tf.reshape(hypotheses, (-1, 1, *keras.ops.shape(hypotheses)[2:]))


class ScoredAttention(Attention):
    """Attention by any score, in a window or not, with a history or without.

    Without a history all steps are one product; with one the score must take features.
    """

    def __init__(
        self,
        score: Score,
        window: PredictedWindow | None = None,
        history: History | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(score.key_projection, **kwargs)
        self.score, self.window, self.history = score, window, history

    @property
    def _is_dot(self) -> bool:
        """Whether it is nothing but the softmax of dot products."""
        others = self.window, self.history
        return others == (None, None) and isinstance(self.score, DotScore)

    def initial_state(self, memory: Memory) -> AttentionState:
        """See `Attention.initial_state`."""
        return {} if self.history is None else self.history.initial_state(memory["mask"])

    def attend(
        self,
        query: tf.Tensor,
        memory: Memory,
        state: AttentionState,
        training: bool,
        one_step: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, AttentionState]:
        """See `Attention.attend`."""
        keys, values = memory["keys"], memory["values"]
        if self._is_dot:
            query = self.score.scaled(query, keys)
            return *dot_attention(query, keys, values, memory["mask"], training), state
        steps = {"query": self.score.query_projection(query)}
        if self.window is not None:
            steps["distance"] = self.window(query, memory["mask"])
        if one_step or self.history is None:
            weights, state = self._weigh(steps, memory, state)
        else:
            weights, state = scan(lambda *now: self._weigh(now[0], memory, now[1]), steps, state)
        return tf.matmul(tf.cast(weights, query.dtype), values), weights, state

    def _weigh(
        self, steps: dict[str, tf.Tensor], memory: Memory, state: AttentionState
    ) -> tuple[tf.Tensor, AttentionState]:
        """Returns the weights of steps or, where there is a history, of one step's hypotheses."""
        history, window = self.history, self.window
        features = None
        if history is not None:
            features = side_by_side(history(state[history.field])[:, tf.newaxis], memory)
        scores = self.score(steps["query"], memory["keys"], features)
        mask = memory["mask"][:, tf.newaxis]
        if window is None:
            weights = masked_softmax(scores, mask)
        else:
            distance = steps["distance"]
            weights = masked_softmax(scores, tf.logical_and(mask, window.inside(distance)))
            weights *= window.gaussian(distance)
        if history is None:
            return weights, state
        newest = row_by_row(weights)[:, 0]
        return weights, {history.field: history.next(state[history.field], newest)}


def make_window(query_units: int, reach: int | None) -> PredictedWindow | None:
    """Makes the window of an attention that may have one."""
    if reach is None:
        return None
    positive("window", reach)
    return PredictedWindow(query_units, reach, name="window")


@keras.saving.register_keras_serializable(package="seq2seq")
class LuongAttention(ScoredAttention):
    """Multiplicative attention (Luong et al., 2015, https://arxiv.org/abs/1508.04025).

    Args:
        query_units: Units of the decoder.
        score: `general` (the keys are a linear map of the encoder outputs), `dot` (they are the
            outputs, which must be as wide as the decoder), `scaled_dot` (the same, divided by the
            root of the width) or `concat` (Bahdanau's, but as wide as the decoder).
        window: For local attention (local-p): how far a step attends to each side of the position
            that it predicts. By default it attends to the whole source.
        memory: See `Attention`.

    Example:
        >>> attention = LuongAttention(query_units=64)
        >>> memory = attention.prepare(encoder_outputs, lengths)
        >>> state = attention.initial_state(memory)
        >>> context, weights, state = attention(decoder_outputs, memory, state)
    """

    def __init__(
        self,
        query_units: int,
        score: str = "general",
        window: int | None = None,
        memory: PrepareMemory | None = None,
        **kwargs: Any,
    ) -> None:
        if score not in ("general", "dot", "scaled_dot", "concat"):
            raise ValueError(f"score: must be general, dot, scaled_dot or concat, got {score!r}")
        keys = None if memory is None else memory.keys
        with default_policy(kwargs.get("dtype")):
            score_layer = (
                AdditiveScore(query_units, keys=keys)
                if score == "concat"
                else DotScore(query_units, score, keys)
            )
            window_layer = make_window(query_units, window)
        super().__init__(score_layer, window_layer, memory=memory, **kwargs)


@keras.saving.register_keras_serializable(package="seq2seq")
class BahdanauAttention(ScoredAttention):
    """Additive attention (Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473).

    Args:
        query_units: Units of the decoder.
        units: Width of queries and keys; by default that of the decoder.
        normalize: Whether `v` in `v . tanh(query + key)` is a direction and a learnt length
            (weight normalisation, https://arxiv.org/abs/1602.07868), as in tensorflow/nmt.
        coverage: Whether the score depends on how much each position has been attended to
            (See et al., 2017, https://arxiv.org/abs/1704.04368).
        window: As in `LuongAttention`.
        memory: See `Attention`.
    """

    def __init__(
        self,
        query_units: int,
        units: int | None = None,
        normalize: bool = False,
        coverage: bool = False,
        window: int | None = None,
        memory: PrepareMemory | None = None,
        **kwargs: Any,
    ) -> None:
        units = query_units if units is None else units
        positive("units", units)
        keys = None if memory is None else memory.keys
        with default_policy(kwargs.get("dtype")):
            score = AdditiveScore(units, normalize, keys)
            window_layer = make_window(query_units, window)
            history = Coverage(units, name="coverage") if coverage else None
        super().__init__(score, window_layer, history, memory=memory, **kwargs)


@keras.saving.register_keras_serializable(package="seq2seq")
class LocationAwareAttention(ScoredAttention):
    """Additive attention that depends on the weights of the step before.

    Chorowski et al., 2015, https://arxiv.org/abs/1506.07503.

    Args:
        query_units: Units of the decoder.
        units: Width of queries and keys; by default that of the decoder.
        filters: Number of filters over the weights of the step before.
        width: Source positions that a filter covers.
        memory: See `Attention`.
    """

    def __init__(
        self,
        query_units: int,
        units: int | None = None,
        filters: int = 10,
        width: int = 11,
        memory: PrepareMemory | None = None,
        **kwargs: Any,
    ) -> None:
        units = query_units if units is None else units
        for name, value in (("units", units), ("filters", filters), ("width", width)):
            positive(name, value)
        keys = None if memory is None else memory.keys
        with default_policy(kwargs.get("dtype")):
            location = Location(units, filters, width, name="location")
            score = AdditiveScore(units, keys=keys)
        super().__init__(score, history=location, memory=memory, **kwargs)
