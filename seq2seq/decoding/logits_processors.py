"""Logits processors: repetition penalty and n-gram block."""

from dataclasses import dataclass

import tensorflow as tf

NEG_INF = -float("inf")


@dataclass(frozen=True)
class LogitsProcessor:
    """Repetition penalty and n-gram block.

    Args:
        repetition_penalty: Factor on the log-probability of tokens that a hypothesis has already;
            above 1 they become rarer. Keskar et al., 2019 (https://arxiv.org/abs/1909.05858) scale
            logits instead, whose sign and zero mean nothing.
        no_repeat_ngram_size: n-grams of this size must not occur twice in a hypothesis
            (Paulus et al., 2017, https://arxiv.org/abs/1705.04304); 0 for no block. Required
            phrases take precedence, and so does a token that is the only one permitted.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    repetition_penalty: float
    no_repeat_ngram_size: int

    def __post_init__(self) -> None:
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty: must be above 0, got {self.repetition_penalty}")
        if self.no_repeat_ngram_size < 0:
            raise ValueError(
                f"no_repeat_ngram_size: must not be negative, got {self.no_repeat_ngram_size}"
            )

    @property
    def changes_probabilities(self) -> bool:
        """Whether tokens that remain possible get other log-probabilities than the model's."""
        return self.repetition_penalty != 1

    def __call__(
        self,
        logits: tf.Tensor,
        normalizer: tf.Tensor,
        history: tf.Tensor,
        permitted: tf.Tensor | None = None,
        exempt: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns processed logits, -inf for forbidden tokens.

        Args:
            logits: float32 `(batch, width, vocabulary_size)`.
            normalizer: float32 `(batch, width)`, log-sum-exp of the logits.
            history: int32 `(batch, width, time)`, the tokens so far.
            permitted: bool, broadcast to the logits: tokens that limits and constraints permit.
            exempt: bool, like the logits: tokens that are never blocked.
        """
        if self.changes_probabilities:
            logits = penalize_repetition(logits, normalizer, history, self.repetition_penalty)
        allowed = logits if permitted is None else tf.where(permitted, logits, NEG_INF)
        if not self.no_repeat_ngram_size:
            return allowed
        blocked = block_ngrams(allowed, history, self.no_repeat_ngram_size)
        if exempt is not None:
            blocked = tf.where(exempt, allowed, blocked)
        if permitted is None:
            return blocked  # the end token remains, which is in no n-gram
        return tf.where(all_forbidden(blocked)[..., tf.newaxis], allowed, blocked)


def all_forbidden(logits: tf.Tensor) -> tf.Tensor:
    """Returns where no token is possible: `(batch, width, vocabulary_size)` -> `(batch, width)`."""
    return tf.equal(tf.reduce_max(logits, axis=-1), NEG_INF)


def penalize_repetition(
    logits: tf.Tensor, normalizer: tf.Tensor, history: tf.Tensor, penalty: float
) -> tf.Tensor:
    """Multiplies the log-probabilities of the tokens in `history` with the penalty."""
    normalizer = normalizer[..., tf.newaxis]
    repeated = tf.gather(logits, history, batch_dims=2)  # (batch, width, time)
    penalized = (repeated - normalizer) * penalty + normalizer
    return tf.tensor_scatter_nd_update(logits, _indices(history), penalized)


def block_ngrams(logits: tf.Tensor, history: tf.Tensor, size: int) -> tf.Tensor:
    """Sets to -inf the tokens that would complete an n-gram which `history` has already."""
    padding = -1
    history = tf.pad(history, [[0, 0], [0, 0], [size, 0]], constant_values=padding)
    starts = tf.shape(history)[2] - size + 1
    repeated = tf.ones_like(history[..., :starts], tf.bool)  # (batch, width, starts)
    for offset in range(size - 1):
        newest = history[..., starts + offset, tf.newaxis]
        window = history[..., offset : offset + starts]
        repeated = tf.logical_and(repeated, tf.equal(window, newest))
    last_tokens = history[..., size - 1 :]  # of each n-gram, (batch, width, starts)
    repeated = tf.logical_and(repeated, last_tokens != padding)
    limits = tf.where(repeated, NEG_INF, float("inf"))
    return tf.tensor_scatter_nd_min(logits, _indices(tf.maximum(last_tokens, 0)), limits)


def _indices(tokens: tf.Tensor) -> tf.Tensor:
    """Returns the logits' indices of tokens: `(batch, width, n)` -> `(batch, width, n, 3)`."""
    batch, width, count = tf.unstack(tf.shape(tokens))
    first, second, _ = tf.meshgrid(tf.range(batch), tf.range(width), tf.range(count), indexing="ij")
    return tf.stack([first, second, tokens], axis=-1)
