"""What a strategy sees of one step: the model's logits, under all rules."""

from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.partial import Maybe, Partial
from seq2seq.decoding.progress import Outlook, by_token, look_ahead, missing_instead_of_end
from seq2seq.decoding.rules import Rules, nothing_left
from seq2seq.ops.top_k import log_sum_exp


class Sources(NamedTuple):
    """What stays the same for each source; every tensor has `batch` rows.

    Attributes:
        lengths: int32 `(batch,)`, source tokens.
        longest: int32 `(batch,)`, tokens a hypothesis may have.
        shortest: int32 `(batch,)`, tokens it must have, or `()`.
        memory: What the step gets as it is: a tuple of one nest, or `()`.
        noise: float32 `(batch, width, steps)`, random numbers, or `()`.
        constraints: What the words must obey, or `()`.
    """

    lengths: tf.Tensor
    longest: tf.Tensor
    shortest: Maybe
    memory: tuple[Any, ...]
    noise: Maybe = ()
    constraints: Constraints | tuple[()] = ()


class View(NamedTuple):
    """What a strategy chooses from.

    Attributes:
        logits: float32 `(batch, width, vocabulary_size)`, the model's own.
        values: The same under the rules; -inf for what they forbid.
        normalizer: float32 `(batch, width)`; logits minus this are log-probabilities.
        forced: int32 `(batch, width)`, the only token allowed, or -1.
        partial: The hypotheses so far.
        sources: The sources.
        time: int32 scalar, tokens that the hypotheses have.
        ahead: What the constraints say of the next token; None if there are none.
        peaks: What makes the search for the largest values faster; None without kernels, and where
            rules changed the values.
    """

    logits: tf.Tensor
    values: tf.Tensor
    normalizer: tf.Tensor
    forced: tf.Tensor
    partial: Partial
    sources: Sources
    time: tf.Tensor
    ahead: Outlook | None = None
    peaks: tf.Tensor | None = None

    def log_probabilities(self, tokens: tf.Tensor, values: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the log-probability of one token for each place, `(batch, width)`.

        Args:
            tokens: int32 `(batch, width)`.
            values: Logits to look them up in, the model's own by default.
        """
        logits = self.logits if values is None else values
        return tf.gather(logits, tokens, batch_dims=2) - self.normalizer


def view_of(
    logits: tf.Tensor,
    partial: Partial,
    sources: Sources,
    time: tf.Tensor,
    end: int,
    rules: Rules,
    raise_missing: bool,
) -> View:
    """Applies limits, constraints and rules.

    Args:
        logits: `(batch, width, vocabulary_size)`, any float dtype.
        partial: The hypotheses so far.
        sources: The sources.
        time: int32 scalar, tokens that the hypotheses have.
        end: Id of the end token.
        rules: Repetition penalty and n-gram block.
        raise_missing: Whether the end token's probability goes to words that must still appear.
    """
    logits = tf.cast(logits, tf.float32)
    normalizer, peaks = log_sum_exp(logits)
    history = partial.tokens[:, :, 1:]
    constraints, shortest = sources.constraints, sources.shortest
    permitted = exempt = ahead = None
    if isinstance(constraints, Constraints):
        ahead = look_ahead(constraints, partial.progress, time, sources.longest, shortest)
        permitted = by_token(ahead.permitted, constraints)
        exempt = by_token(ahead.closer, constraints)
    elif not isinstance(shortest, tuple):
        ends = tf.equal(tf.range(tf.shape(logits)[2]), end)
        early = (time < shortest)[:, tf.newaxis, tf.newaxis]
        permitted = tf.logical_not(tf.logical_and(early, ends))
    values = rules(logits, normalizer, history, permitted, exempt)
    if raise_missing and ahead is not None:
        values = missing_instead_of_end(values, logits[..., end], ahead, exempt)

    forced = _beginning_of(sources, time)
    if permitted is not None:
        forced = tf.where(tf.logical_and(forced < 0, nothing_left(values)), end, forced)
    over = tf.logical_or(partial.finished, time >= sources.longest[:, tf.newaxis])
    forced = tf.where(over, end, forced)
    peaks = peaks if values is logits else None
    return View(logits, values, normalizer, forced, partial, sources, time, ahead, peaks)


def _beginning_of(sources: Sources, time: tf.Tensor) -> tf.Tensor:
    """Returns each row's token of the prefix, or -1; broadcasts to `(batch, width)`."""
    if not isinstance(sources.constraints, Constraints):
        return tf.constant([[-1]])
    prefixes = tf.pad(sources.constraints.prefixes, [[0, 0], [0, 1]], constant_values=-1)
    last = tf.shape(prefixes)[1] - 1
    return tf.gather(prefixes, tf.minimum(time, last), axis=1)[:, tf.newaxis]
