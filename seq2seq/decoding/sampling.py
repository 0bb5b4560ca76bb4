"""Sampling from the model's distribution, whole or cut to its likely part."""

import math

import tensorflow as tf

from seq2seq.decoding.lengths import LengthLimits
from seq2seq.decoding.partial import Choice, Partial
from seq2seq.decoding.random_numbers import uniform
from seq2seq.decoding.rules import NEVER, Rules
from seq2seq.decoding.strategy import Strategy
from seq2seq.decoding.view import Sources, View


class Sampling(Strategy):
    """Draws each token from the model's distribution.

    The distribution is cut in this order: temperature, `top_k`, `top_p`, `min_p`; each sees what
    the one before has left. Tokens exactly as probable as the last one kept are kept too. A row's
    samples depend on `seed` and the row's key alone, not on the batch it is in or its place.

    Args:
        temperature: Logits are divided by this: below 1 likely tokens become more likely.
        top_k: Only so many tokens are kept, the most probable (Fan et al., 2018,
            https://arxiv.org/abs/1805.04833); 0 for all.
        top_p: The fewest tokens are kept that together have this probability (Holtzman et al.,
            2019, https://arxiv.org/abs/1904.09751); 1 for all.
        min_p: Tokens are kept that have this share of the most probable one's probability (Nguyen
            et al., 2024, https://arxiv.org/abs/2407.01082); 0 for all.
        samples: How many are drawn for each source, on an axis of their own; None for one without
            that axis.
        seed: Seed of 32 bits.
        maximum_length_ratio: Tokens allowed for each source token.
        maximum_length_extra: Tokens allowed on top.
        minimum_length_ratio: Tokens demanded for each source token.
        minimum_length_extra: Tokens demanded on top.
        repetition_penalty: Factor on the log-probability of tokens that a sample has already; 1 for
            none.
        no_repeat_ngram_size: n-grams of this size may not come twice in a sample; 0 for no such
            rule.

    Raises:
        ValueError: If an argument has an impossible value, or two of them do not fit.
    """

    needs_keys = True

    def __init__(
        self,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        samples: int | None = None,
        seed: int = 0,
        maximum_length_ratio: float = 2.0,
        maximum_length_extra: int = 10,
        minimum_length_ratio: float = 0.0,
        minimum_length_extra: int = 0,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
    ) -> None:
        limits = LengthLimits(
            maximum_length_ratio, maximum_length_extra, minimum_length_ratio, minimum_length_extra
        )
        super().__init__(limits, Rules(repetition_penalty, no_repeat_ngram_size))
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"temperature: must be above 0, got {temperature}; Greedy takes the most probable"
            )
        if top_k < 0:
            raise ValueError(f"top_k: must not be negative, got {top_k}")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p: must be above 0 and at most 1, got {top_p}")
        if not 0 <= min_p < 1:
            raise ValueError(f"min_p: must be at least 0 and below 1, got {min_p}")
        if samples is not None and samples < 1:
            raise ValueError(f"samples: must be at least 1, got {samples}")
        self.temperature, self.top_k, self.top_p, self.min_p = temperature, top_k, top_p, min_p
        self.first_width = samples or 1
        self.several = samples is not None
        self.seed = seed

    def noise(self, keys: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """Returns the random numbers of the whole search, `(batch, samples, steps)`."""
        return uniform(self.seed, keys, self.first_width, steps)

    def choose(self, view: View) -> Choice:
        """Draws a token for every sample."""
        values = self._cut(view.values / self.temperature)
        cumulative = tf.cumsum(tf.nn.softmax(values), axis=-1)
        noise = tf.gather(view.sources.noise, view.time, axis=2)
        point = noise[..., tf.newaxis] * cumulative[..., -1:]
        drawn = tf.reduce_sum(tf.cast(cumulative <= point, tf.int32), axis=-1)
        tokens = tf.where(view.forced < 0, drawn, view.forced)
        gains = view.log_probabilities(tokens)
        return Choice(tokens, gains, gains)

    def _cut(self, values: tf.Tensor) -> tf.Tensor:
        """Sets what is cut away to -inf."""
        if self.top_k:
            count = min(self.top_k, values.shape[-1])
            least = tf.math.top_k(values, count).values[..., -1:]
            values = tf.where(values >= least, values, NEVER)
        if self.top_p < 1:
            ordered = tf.sort(values, axis=-1, direction="DESCENDING")
            above = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
            kept = tf.where(above < self.top_p, ordered, float("inf"))
            values = tf.where(values >= tf.reduce_min(kept, axis=-1, keepdims=True), values, NEVER)
        if self.min_p:
            least = tf.reduce_max(values, axis=-1, keepdims=True) + math.log(self.min_p)
            values = tf.where(values >= least, values, NEVER)
        return values

    def ranked(self, partial: Partial, sources: Sources) -> tuple[Partial, None]:
        """Returns the samples as they were drawn."""
        return partial, None
