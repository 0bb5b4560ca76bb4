"""Guided alignment: an attention learns from given alignments (Chen et al., 2016).

See https://arxiv.org/abs/1607.01628.
"""

import math
from dataclasses import dataclass

import tensorflow as tf

TINY = 1e-9
"""Added to attention weights, whose logarithm is then finite."""


@dataclass(frozen=True)
class GuidedAlignment:
    """Cross-entropy of attention weights against reference alignments.

    Args:
        weight: The factor of the loss at the first training step, at least 0.
        decay: The factor of the weight from each step to the next, above 0 and at most 1.

    Raises:
        ValueError: If an argument is out of range.
    """

    weight: float
    decay: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"guided_alignment: must be at least 0, got {self.weight!r}")
        if not 0 < self.decay <= 1:
            raise ValueError(
                f"guided_alignment_decay: must be above 0 and at most 1, got {self.decay!r}"
            )

    def __call__(self, attention: tf.Tensor, reference: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Returns `-weight * decay ** step * sum(reference * log(attention))` of each token.

        Args:
            attention: The attention's weights, float32 `(batch, target_length, source_length)`.
            reference: The shares of the source tokens in each target token, of the same shape;
                zeros for a token that is aligned with nothing, and for padding.
            step: The number of training steps before this one, a scalar.

        Returns:
            Float32 `(batch, target_length)`.
        """
        factor = self.weight * tf.exp(math.log(self.decay) * tf.cast(step, tf.float32))
        return -factor * tf.reduce_sum(reference * tf.math.log(attention + TINY), axis=-1)
