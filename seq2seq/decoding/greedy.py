"""Greedy search as one compiled loop over a whole batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]]
"""`(tokens (batch,), state) -> (logits (batch, vocabulary_size), state)`; the state is any nest."""


class Hypotheses(NamedTuple):
    """What a search found, one row a source.

    Attributes:
        tokens: int32 `(batch, length)`, without the start token; the end token and all that follows
            it are the end token.
        lengths: int32 `(batch,)`, real tokens of each row, not counting the end token.
        scores: float32 `(batch,)`, the sum of the log-probabilities of the chosen tokens, the end
            token included.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor


class Greedy:
    """Takes the most probable token at each step, until every row has ended.

    A row ends with the end token, or at its own limit:
    `maximum_length_ratio * source_length + maximum_length_extra` tokens.

    Args:
        maximum_length_ratio: Tokens allowed for each source token.
        maximum_length_extra: Tokens allowed on top.

    Raises:
        ValueError: If the limits allow no token at all.
    """

    def __init__(self, maximum_length_ratio: float = 2.0, maximum_length_extra: int = 10) -> None:
        if maximum_length_ratio < 0 or maximum_length_extra < 0:
            raise ValueError("maximum_length_ratio and maximum_length_extra: must not be negative")
        if maximum_length_ratio == 0 and maximum_length_extra == 0:
            raise ValueError("maximum_length_ratio and maximum_length_extra: one must be above 0")
        self.maximum_length_ratio = maximum_length_ratio
        self.maximum_length_extra = maximum_length_extra

    def limits(self, source_lengths: tf.Tensor) -> tf.Tensor:
        """Returns how many tokens each row may have, int32 `(batch,)`, at least 1."""
        allowed = self.maximum_length_ratio * tf.cast(source_lengths, tf.float32)
        return tf.maximum(tf.cast(allowed, tf.int32) + self.maximum_length_extra, 1)

    def __call__(
        self, step: Step, state: Any, source_lengths: tf.Tensor, start: int, end: int
    ) -> Hypotheses:
        """Searches for a whole batch; meant to be called inside a `tf.function`.

        Args:
            step: The model's step.
            state: The state before the first step, any nest of tensors with `batch` rows.
            source_lengths: int32 `(batch,)`, for the length limits.
            start: Id of the token that the first step reads.
            end: Id of the token that ends a row.

        Returns:
            The hypotheses.
        """
        limits = self.limits(source_lengths)
        longest = tf.reduce_max(limits)
        batch = tf.shape(source_lengths)[0]

        def unfinished(time: tf.Tensor, finished: tf.Tensor, *_: Any) -> tf.Tensor:
            return tf.logical_and(time < longest, tf.logical_not(tf.reduce_all(finished)))

        def advance(
            time: tf.Tensor,
            finished: tf.Tensor,
            tokens: tf.Tensor,
            lengths: tf.Tensor,
            scores: tf.Tensor,
            history: tf.TensorArray,
            state: Any,
        ) -> tuple[Any, ...]:
            logits, state = step(tokens, state)
            logits = tf.cast(logits, tf.float32)
            best = tf.argmax(logits, axis=-1, output_type=tf.int32)
            gain = tf.reduce_max(logits, axis=-1) - tf.reduce_logsumexp(logits, axis=-1)
            tokens = tf.where(finished, end, best)
            scores += tf.where(finished, 0.0, gain)
            ended = tf.logical_or(finished, tf.equal(tokens, end))
            lengths += tf.cast(tf.logical_not(ended), tf.int32)
            finished = tf.logical_or(ended, time + 1 >= limits)
            history = history.write(time, tokens)
            return time + 1, finished, tokens, lengths, scores, history, state

        history = tf.TensorArray(tf.int32, size=longest, element_shape=(None,))
        steps, _, _, lengths, scores, history, _ = tf.while_loop(
            unfinished,
            advance,
            (
                tf.constant(0),
                tf.zeros([batch], tf.bool),
                tf.fill([batch], start),
                tf.zeros([batch], tf.int32),
                tf.zeros([batch], tf.float32),
                history,
                state,
            ),
        )
        tokens = history.gather(tf.range(steps))
        return Hypotheses(tf.transpose(tokens), lengths, scores)
