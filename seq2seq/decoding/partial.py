"""Hypotheses under way: what is known of each, how they change places and how they grow."""

from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from seq2seq.ops.gather import gather

Maybe: TypeAlias = tf.Tensor | tuple[()]
"""A tensor, or `()` where nobody asked for it: an empty nest costs nothing in a loop."""


class Partial(NamedTuple):
    """Hypotheses under way; all that belongs to one moves with it when it changes its place.

    Attributes:
        tokens: int32 `(batch, width, 1 + time)`, beginning with the start token.
        lengths: int32 `(batch, width)`, tokens without start and end.
        finished: bool `(batch, width)`, whether it has ended, or its place is empty.
        scores: float32 `(batch, width)`, sum of log-probabilities; -inf for an empty place.
        ranking: float32 `(batch, width)`, the same sum after rules that change probabilities.
        token_scores: float32 `(batch, width, time)`.
        alignments: float32 `(batch, width, time, source_length)`.
        coverage: float32 `(batch, width, source_length)`, the sum of the attention so far.
        progress: int32 `(batch, width, 2)`, the place in the constraints' automaton.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    finished: tf.Tensor
    scores: tf.Tensor
    ranking: Maybe = ()
    token_scores: Maybe = ()
    alignments: Maybe = ()
    coverage: Maybe = ()
    progress: Maybe = ()

    @property
    def rank(self) -> tf.Tensor:
        """The sum that decides which hypothesis is better, before length and coverage."""
        return self.scores if isinstance(self.ranking, tuple) else self.ranking


TIMED = ("tokens", "token_scores", "alignments")
"""The fields that grow along axis 2."""


class Choice(NamedTuple):
    """The tokens that continue hypotheses, one for each place.

    Attributes:
        tokens: int32 `(batch, width)`.
        gains: float32 `(batch, width)`, the model's log-probability of each token.
        ranking: float32 `(batch, width)`, the same after rules that change probabilities.
        parents: int32 `(batch, width)`, the place of the hypothesis that the token continues; None
            where each continues its own.
        empty: bool `(batch, width)`, places that no hypothesis is left for.
    """

    tokens: tf.Tensor
    gains: tf.Tensor
    ranking: tf.Tensor
    parents: tf.Tensor | None = None
    empty: tf.Tensor | None = None


def flat(nest: Any) -> Any:
    """Joins the first two axes of every tensor: `(batch, width, ...)` -> `(rows, ...)`."""
    return tf.nest.map_structure(lambda tensor: _reshaped(tensor, (None,), 2), nest)


def spread(nest: Any, width: int) -> Any:
    """Parts the first axis of every tensor: `(rows, ...)` -> `(batch, width, ...)`."""
    return tf.nest.map_structure(
        lambda tensor: None if tensor is None else _reshaped(tensor, (None, width), 1), nest
    )


def _reshaped(tensor: tf.Tensor, front: tuple[int | None, ...], axis: int) -> tf.Tensor:
    """Replaces the axes before `axis`; what is known of the shape stays known."""
    rest = tensor.shape[axis:]
    known = rest.is_fully_defined()
    sizes = [-1 if size is None else size for size in front]
    target = [*sizes, *rest] if known else tf.concat([sizes, tf.shape(tensor)[axis:]], 0)
    reshaped = tf.reshape(tensor, target)
    reshaped.set_shape([*front, *rest])
    return reshaped


def follow(nest: Any, parents: tf.Tensor) -> Any:
    """Gathers every tensor `(batch, old_width, ...)` to `(batch, width, ...)` by places."""
    old_width = tf.nest.flatten(nest)[0].shape[1]
    rows = tf.range(tf.shape(parents)[0])[:, tf.newaxis] * old_width + parents

    return tf.nest.map_structure(lambda tensor: gather(flat(tensor), rows), nest)


def grown(partial: Partial, choice: Choice, attention: tf.Tensor | None, end: int) -> Partial:
    """Appends one token to every hypothesis; what has ended stays as it is.

    Args:
        partial: The hypotheses, already in their new places.
        choice: The tokens.
        attention: float32 `(batch, width, source_length)`, where it is kept.
        end: Id of the end token.
    """
    live = tf.logical_not(partial.finished)
    tokens = tf.where(live, choice.tokens, end)
    gains = tf.where(live, choice.gains, 0.0)
    scores = partial.scores + gains
    ranking = partial.ranking
    if not isinstance(ranking, tuple):
        ranking += tf.where(live, choice.ranking, 0.0)
    going = tf.logical_and(live, tf.not_equal(tokens, end))
    finished = tf.logical_not(going)
    if choice.empty is not None:
        scores = tf.where(choice.empty, -float("inf"), scores)
        if not isinstance(ranking, tuple):
            ranking = tf.where(choice.empty, -float("inf"), ranking)
        finished = tf.logical_or(finished, choice.empty)
    grown = partial._replace(
        tokens=_appended(partial.tokens, tokens),
        lengths=partial.lengths + tf.cast(going, tf.int32),
        finished=finished,
        scores=scores,
        ranking=ranking,
        token_scores=_appended(partial.token_scores, gains),
    )
    if attention is None:
        return grown
    attention = tf.where(live[..., tf.newaxis], attention, 0.0)
    if not isinstance(partial.coverage, tuple):
        grown = grown._replace(coverage=partial.coverage + attention)
    return grown._replace(alignments=_appended(partial.alignments, attention))


def _appended(history: Maybe, newest: tf.Tensor) -> Maybe:
    if isinstance(history, tuple):
        return history
    return tf.concat([history, newest[:, :, tf.newaxis]], axis=2)
