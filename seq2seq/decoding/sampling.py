"""Sampling from the model's distribution, with temperature, top-k, top-p and min-p."""

import math
from dataclasses import dataclass

import tensorflow as tf

from seq2seq.decoding.beam_state import Continuations
from seq2seq.decoding.logits_processors import NEG_INF
from seq2seq.decoding.next_token_logits import NextTokenLogits
from seq2seq.decoding.random_numbers import uniform
from seq2seq.decoding.strategy import Strategy
from seq2seq.ops.drawing import draw


@dataclass(eq=False)
class Sampling(Strategy):
    """Draws each token from the model's distribution.

    The distribution is truncated in this order: temperature, `top_k`, `top_p`, `min_p`; each sees
    what the one before has kept. Tokens exactly as probable as the last one kept are kept too. A
    row's samples depend on `seed` and the row's key alone, not on its batch. Further arguments: see
    `Strategy`.

    Args:
        temperature: Logits are divided by this: below 1 likely tokens become more likely.
        top_k: Keeps this many tokens, the most probable (Fan et al., 2018,
            https://arxiv.org/abs/1805.04833); 0 for all.
        top_p: Keeps the fewest tokens that together have this probability (Holtzman et al., 2019,
            https://arxiv.org/abs/1904.09751); 1 for all.
        min_p: Keeps tokens that have this share of the most probable one's probability (Nguyen et
            al., 2024, https://arxiv.org/abs/2407.01082); 0 for all.
        samples: Samples for each source, on an axis of their own; None for one without that axis.
        seed: Seed of 32 bits.

    Raises:
        ValueError: If an argument has an impossible value, or two of them contradict each other.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    samples: int | None = None
    seed: int = 0

    needs_keys = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature: must be above 0, got {self.temperature}; Greedy takes the most "
                "probable"
            )
        if self.top_k < 0:
            raise ValueError(f"top_k: must not be negative, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p: must be at least 0 and below 1, got {self.min_p}")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples: must be at least 1, got {self.samples}")
        self.initial_width = self.samples or 1
        self.returns_multiple = self.samples is not None

    def noise(self, keys: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """Returns the random numbers of the whole search, `(batch, samples, steps)`.

        An exported search gets the numbers themselves for `keys`, float32 `(batch, samples,
        steps)`: other runtimes lack the operations on bits that make them.
        """
        if keys.dtype == tf.float32:
            return keys
        return uniform(self.seed, keys, self.initial_width, steps)

    def select(self, next_token: NextTokenLogits) -> Continuations:
        """Draws a token for every sample."""
        # (batch, width, vocabulary_size)
        logits = self._truncate(next_token.processed / self.temperature)
        noise = tf.gather(next_token.sources.noise, next_token.time, axis=2)  # (batch, width)
        tokens = tf.where(next_token.forced < 0, draw(logits, noise), next_token.forced)
        log_probabilities = next_token.log_probabilities(tokens)
        return Continuations(tokens, log_probabilities, log_probabilities)

    def _truncate(self, logits: tf.Tensor) -> tf.Tensor:
        """Sets the logits of improbable tokens to -inf."""
        if self.top_k:
            count = tf.minimum(self.top_k, tf.shape(logits)[-1])
            minimum = tf.math.top_k(logits, count).values[..., -1:]
            logits = tf.where(logits >= minimum, logits, NEG_INF)
        if self.top_p < 1:
            ordered = tf.sort(logits, axis=-1, direction="DESCENDING")
            above = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
            nucleus = tf.where(above < self.top_p, ordered, float("inf"))
            minimum = tf.reduce_min(nucleus, axis=-1, keepdims=True)
            logits = tf.where(logits >= minimum, logits, NEG_INF)
        if self.min_p:
            minimum = tf.reduce_max(logits, axis=-1, keepdims=True) + math.log(self.min_p)
            logits = tf.where(logits >= minimum, logits, NEG_INF)
        return logits
