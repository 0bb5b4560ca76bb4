"""The state of a search: the hypotheses of a batch, and how a step reorders and extends them."""

from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from seq2seq.ops.gather import gather

OptionalTensor: TypeAlias = tf.Tensor | tuple[()]
"""A tensor, or `()` where it is not needed: an empty nest costs nothing in a loop."""


class BeamState(NamedTuple):
    """Live and finished hypotheses of a batch; `width` is 1 in greedy search."""

    tokens: tf.Tensor  # int32 (batch, width, 1 + time), beginning with the start token
    lengths: tf.Tensor  # int32 (batch, width), tokens without start and end
    finished: tf.Tensor  # bool (batch, width), ended hypotheses and empty slots
    scores: tf.Tensor  # float32 (batch, width), log-probabilities; -inf for an empty slot
    penalized_scores: OptionalTensor = ()  # the same after the repetition penalty
    token_scores: OptionalTensor = ()  # float32 (batch, width, 1 + time), 0 at the start token
    alignments: OptionalTensor = ()  # float32 (batch, width, 1 + time, source_length)
    coverage: OptionalTensor = ()  # float32 (batch, width, source_length), sum of the attention
    constraint_state: OptionalTensor = ()  # int32 (batch, width, 2), see constraint_state.py

    @property
    def ranking_scores(self) -> tf.Tensor:
        """The scores by which hypotheses are compared, before length and coverage penalties."""
        return self.scores if isinstance(self.penalized_scores, tuple) else self.penalized_scores


TIME_FIELDS = ("tokens", "token_scores", "alignments")
"""The fields that grow along axis 2."""


class Continuations(NamedTuple):
    """The next token of each hypothesis, `(batch, width)` each."""

    tokens: tf.Tensor  # int32
    log_probabilities: tf.Tensor  # float32, the model's own
    penalized: tf.Tensor  # float32, log-probabilities after the repetition penalty
    parents: tf.Tensor | None = None  # int32, slot of the hypothesis to extend; None for its own
    empty: tf.Tensor | None = None  # bool, slots for which there is no candidate


def merge_beams(nest: Any) -> Any:
    """Joins the first two axes of every tensor: `(batch, width, ...)` -> `(rows, ...)`."""
    return tf.nest.map_structure(lambda tensor: _replace_axes(tensor, (None,), 2), nest)


def split_beams(nest: Any, width: int) -> Any:
    """Splits the first axis of every tensor: `(rows, ...)` -> `(batch, width, ...)`."""
    return tf.nest.map_structure(
        lambda tensor: None if tensor is None else _replace_axes(tensor, (None, width), 1), nest
    )


def _replace_axes(tensor: tf.Tensor, front: tuple[int | None, ...], axis: int) -> tf.Tensor:
    """Replaces the axes before `axis`, and keeps the static shape of the others."""
    rest = tensor.shape[axis:]
    sizes = [-1 if size is None else size for size in front]
    is_static = rest.is_fully_defined()
    target = [*sizes, *rest] if is_static else tf.concat([sizes, tf.shape(tensor)[axis:]], 0)
    reshaped = tf.reshape(tensor, target)
    reshaped.set_shape([*front, *rest])
    return reshaped


def gather_beams(nest: Any, parents: tf.Tensor) -> Any:
    """Gathers every tensor `(batch, old_width, ...)` to `(batch, width, ...)` by slots."""
    old_width = tf.nest.flatten(nest)[0].shape[1]
    rows = tf.range(tf.shape(parents)[0])[:, tf.newaxis] * old_width + parents  # (batch, width)

    return tf.nest.map_structure(lambda tensor: gather(merge_beams(tensor), rows), nest)


def append_tokens(
    beam: BeamState, continuations: Continuations, attention: tf.Tensor | None, end: int
) -> BeamState:
    """Appends one token to every live hypothesis; finished ones only repeat the end token.

    The hypotheses are already gathered by the parents of their continuations; `attention` is
    float32 `(batch, width, source_length)`, if it is recorded.
    """
    live = tf.logical_not(beam.finished)  # (batch, width), like all below
    tokens = tf.where(live, continuations.tokens, end)
    log_probabilities = tf.where(live, continuations.log_probabilities, 0.0)
    scores, penalized_scores = beam.scores + log_probabilities, beam.penalized_scores
    if not isinstance(penalized_scores, tuple):
        penalized_scores += tf.where(live, continuations.penalized, 0.0)
    still_live = tf.logical_and(live, tf.not_equal(tokens, end))
    finished = tf.logical_not(still_live)
    if (empty := continuations.empty) is not None:
        scores = tf.where(empty, -float("inf"), scores)
        if not isinstance(penalized_scores, tuple):
            penalized_scores = tf.where(empty, -float("inf"), penalized_scores)
        finished = tf.logical_or(finished, empty)
    extended = beam._replace(
        tokens=_append(beam.tokens, tokens),
        lengths=beam.lengths + tf.cast(still_live, tf.int32),
        finished=finished,
        scores=scores,
        penalized_scores=penalized_scores,
        token_scores=_append(beam.token_scores, log_probabilities),
    )
    if attention is None:
        return extended
    attention = tf.where(live[..., tf.newaxis], attention, 0.0)
    if not isinstance(beam.coverage, tuple):
        extended = extended._replace(coverage=beam.coverage + attention)
    return extended._replace(alignments=_append(beam.alignments, attention))


def _append(history: OptionalTensor, newest: tf.Tensor) -> OptionalTensor:
    """Appends one step: `(batch, width, time, ...)` and `(batch, width, ...)`."""
    if isinstance(history, tuple):
        return history
    return tf.concat([history, newest[:, :, tf.newaxis]], axis=2)
