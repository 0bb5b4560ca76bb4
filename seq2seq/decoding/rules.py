"""Rules that change what a model may say next: on logits, for every strategy alike."""

import tensorflow as tf

NEVER = -float("inf")


class Rules:
    """Repetition penalty and n-gram block.

    Args:
        repetition_penalty: Factor on the log-probability of tokens that a hypothesis has already;
            above 1 they become rarer. Keskar et al., 2019 (https://arxiv.org/abs/1909.05858) scale
            logits instead, whose sign and zero mean nothing.
        no_repeat_ngram_size: n-grams of this size may not come twice in a hypothesis
            (Paulus et al., 2017, https://arxiv.org/abs/1705.04304); 0 for no such rule. It yields
            to words that must appear, and where nothing else is allowed.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(self, repetition_penalty: float, no_repeat_ngram_size: int) -> None:
        if repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty: must be above 0, got {repetition_penalty}")
        if no_repeat_ngram_size < 0:
            raise ValueError(
                f"no_repeat_ngram_size: must not be negative, got {no_repeat_ngram_size}"
            )
        self.repetition_penalty = repetition_penalty
        self.no_repeat_ngram_size = no_repeat_ngram_size

    @property
    def change_probabilities(self) -> bool:
        """Whether allowed tokens get other log-probabilities than the model's."""
        return self.repetition_penalty != 1

    def __call__(
        self,
        logits: tf.Tensor,
        normalizer: tf.Tensor,
        history: tf.Tensor,
        permitted: tf.Tensor | None = None,
        exempt: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Applies all rules.

        Args:
            logits: float32 `(batch, width, vocabulary_size)`.
            normalizer: float32 `(batch, width)`.
            history: int32 `(batch, width, time)`, the tokens so far.
            permitted: bool, broadcast to the logits: what limits and constraints permit; None for
                all.
            exempt: bool, like the logits: what no n-gram blocks; None for nothing.

        Returns:
            The logits under the rules, -inf for what they forbid. All are -inf only where
            `permitted` permits nothing.
        """
        if self.repetition_penalty != 1:
            logits = penalize_repetition(logits, normalizer, history, self.repetition_penalty)
        allowed = logits if permitted is None else tf.where(permitted, logits, NEVER)
        if not self.no_repeat_ngram_size:
            return allowed
        blocked = block_ngrams(allowed, history, self.no_repeat_ngram_size)
        if exempt is not None:
            blocked = tf.where(exempt, allowed, blocked)
        if permitted is None:
            return blocked  # the end token is left, which no n-gram holds
        return tf.where(nothing_left(blocked)[..., tf.newaxis], allowed, blocked)


def nothing_left(values: tf.Tensor) -> tf.Tensor:
    """Returns where no token is allowed: `(batch, width, vocabulary_size)` -> `(batch, width)`."""
    return tf.equal(tf.reduce_max(values, axis=-1), NEVER)


def penalize_repetition(
    logits: tf.Tensor, normalizer: tf.Tensor, history: tf.Tensor, penalty: float
) -> tf.Tensor:
    """Multiplies the log-probabilities of the tokens in `history`; arguments as in `Rules`."""
    normalizer = normalizer[..., tf.newaxis]
    found = tf.gather(logits, history, batch_dims=2)
    changed = (found - normalizer) * penalty + normalizer
    return tf.tensor_scatter_nd_update(logits, places_of(history), changed)


def block_ngrams(logits: tf.Tensor, history: tf.Tensor, size: int) -> tf.Tensor:
    """Sets to -inf what would complete an n-gram of `size` tokens that `history` holds already."""
    nobody = -1
    history = tf.pad(history, [[0, 0], [0, 0], [size, 0]], constant_values=nobody)
    starts = tf.shape(history)[2] - size + 1
    repeated = tf.ones_like(history[..., :starts], tf.bool)
    for offset in range(size - 1):
        newest = history[..., starts + offset, tf.newaxis]
        window = history[..., offset : offset + starts]
        repeated = tf.logical_and(repeated, tf.equal(window, newest))
    following = history[..., size - 1 :]
    repeated = tf.logical_and(repeated, following != nobody)
    values = tf.where(repeated, NEVER, float("inf"))
    return tf.tensor_scatter_nd_min(logits, places_of(tf.maximum(following, 0)), values)


def places_of(tokens: tf.Tensor) -> tf.Tensor:
    """Returns where tokens `(batch, width, n)` stand in logits: `(batch, width, n, 3)`."""
    batch, width, count = tf.unstack(tf.shape(tokens))
    first, second, _ = tf.meshgrid(tf.range(batch), tf.range(width), tf.range(count), indexing="ij")
    return tf.stack([first, second, tokens], axis=-1)
