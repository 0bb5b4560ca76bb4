"""Penalties of beam search: length, coverage and diversity."""

import math

import tensorflow as tf


class LengthPenalty:
    """Divides log-probabilities by `length ** alpha`; the end token counts.

    Args:
        alpha: 0 for no penalty, 1 for the mean log-probability of a token.

    Raises:
        ValueError: If `alpha` is negative: shorter would be better, and no search could stop early.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha: must be at least 0 and finite, got {alpha}")
        self.alpha = alpha

    def divisor(self, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the divisor of scores of these lengths, float32; grows with the length."""
        return tf.cast(lengths, tf.float32) ** self.alpha


class GNMTLengthPenalty(LengthPenalty):
    """Divides by `((5 + length) / 6) ** alpha` (Wu et al., 2016, https://arxiv.org/abs/1609.08144).

    Args:
        alpha: 0 for no penalty; the paper used 0.2 to 1.
    """

    def divisor(self, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the divisor, see `LengthPenalty`."""
        return ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** self.alpha


class CoveragePenalty:
    """Adds `beta * sum_i log(min(coverage_i, 1))` to the score of finished hypotheses.

    `coverage_i` is the attention to source token i summed over all steps, including the end token's
    (Wu et al., 2016, https://arxiv.org/abs/1609.08144). Needs a step that returns its attention.

    Args:
        beta: Weight; the paper used up to 0.4.

    Raises:
        ValueError: If `beta` is not above 0.
    """

    MINIMUM = 1e-6
    """Coverage of a token without any attention, so that its logarithm is finite."""

    def __init__(self, beta: float = 0.2) -> None:
        if not 0 < beta < math.inf:
            raise ValueError(f"beta: must be above 0, got {beta}; leave the penalty out instead")
        self.beta = beta

    def __call__(self, coverage: tf.Tensor, source_lengths: tf.Tensor) -> tf.Tensor:
        """Returns the penalty `(batch, width)`, never above 0.

        Args:
            coverage: float32 `(batch, width, source_length)`.
            source_lengths: int32 `(batch,)`; padding does not count.
        """
        logs = tf.math.log(tf.clip_by_value(coverage, self.MINIMUM, 1.0))
        mask = tf.sequence_mask(source_lengths, tf.shape(coverage)[2])[:, tf.newaxis]
        return self.beta * tf.reduce_sum(tf.where(mask, logs, 0.0), axis=2)


class DiversityPenalty:
    """Splits a beam into groups that avoid each other's tokens.

    At each step a group's candidates lose `strength` for each hypothesis of an earlier group that
    has just selected the same token; scores are without it (Vijayakumar et al., 2016,
    https://arxiv.org/abs/1610.02424, with Hamming diversity).

    Args:
        groups: Number of groups; must divide the beam size.
        strength: Penalty on a repeated token, in log-probability; the paper used 0.2 to 0.8.

    Raises:
        ValueError: If there are not two groups, or `strength` is not above 0.
    """

    def __init__(self, groups: int, strength: float = 0.5) -> None:
        if groups < 2:
            raise ValueError(f"groups: must be at least 2, got {groups}")
        if not 0 < strength < math.inf:
            raise ValueError(f"strength: must be above 0, got {strength}")
        self.groups, self.strength = groups, strength
