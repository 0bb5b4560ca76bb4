"""Minimum and maximum length of hypotheses."""

import math
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class LengthLimits:
    """Minimum and maximum length of each row: absolute, relative to its source, or both.

    A limit is `ratio * source_length + extra` tokens, not counting the end token. At its maximum
    length a hypothesis must end, and its end token is scored like any other token.

    Raises:
        ValueError: If the limits allow no token at all, or the minimum is above the maximum.
    """

    maximum_ratio: float
    maximum_extra: int
    minimum_ratio: float
    minimum_extra: int

    def __post_init__(self) -> None:
        for kind, ratio, extra in (
            ("maximum", self.maximum_ratio, self.maximum_extra),
            ("minimum", self.minimum_ratio, self.minimum_extra),
        ):
            if not (0 <= ratio < math.inf and extra >= 0):
                raise ValueError(
                    f"{kind}_length_ratio and {kind}_length_extra: must not be negative, and finite"
                )
        if self.maximum_ratio == 0 and self.maximum_extra == 0:
            raise ValueError("maximum_length_ratio and maximum_length_extra: one must be above 0")
        for name, minimum, maximum in (
            ("length_ratio", self.minimum_ratio, self.maximum_ratio),
            ("length_extra", self.minimum_extra, self.maximum_extra),
        ):
            if minimum > maximum:
                raise ValueError(
                    f"minimum_{name} and maximum_{name}: {minimum} is more than {maximum}; "
                    "the minimum must not pass the maximum for any source"
                )

    def max_lengths(self, source_lengths: tf.Tensor) -> tf.Tensor:
        """Returns the maximum length of each row, int32 `(batch,)`, at least 1."""
        return tf.maximum(_lengths(source_lengths, self.maximum_ratio, self.maximum_extra), 1)

    def min_lengths(self, source_lengths: tf.Tensor) -> tf.Tensor | tuple[()]:
        """Returns the minimum length of each row, int32 `(batch,)`; `()` if there is none."""
        if self.minimum_ratio == 0 and self.minimum_extra == 0:
            return ()
        return _lengths(source_lengths, self.minimum_ratio, self.minimum_extra)


def _lengths(source_lengths: tf.Tensor, ratio: float, extra: int) -> tf.Tensor:
    return tf.cast(ratio * tf.cast(source_lengths, tf.float32), tf.int32) + extra
