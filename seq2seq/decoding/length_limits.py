"""Minimum and maximum length of hypotheses."""

import math

import tensorflow as tf


class LengthLimits:
    """Minimum and maximum length of each row: absolute, relative to its source, or both.

    A limit is `ratio * source_length + extra` tokens, not counting the end token. At its maximum
    length a hypothesis must end, and its end token is scored like any other token.

    Raises:
        ValueError: If the limits allow no token at all, or the minimum is above the maximum.
    """

    def __init__(
        self,
        maximum_length_ratio: float,
        maximum_length_extra: int,
        minimum_length_ratio: float,
        minimum_length_extra: int,
    ) -> None:
        for kind, ratio, extra in (
            ("maximum", maximum_length_ratio, maximum_length_extra),
            ("minimum", minimum_length_ratio, minimum_length_extra),
        ):
            if not (0 <= ratio < math.inf and extra >= 0):
                raise ValueError(
                    f"{kind}_length_ratio and {kind}_length_extra: must not be negative, and finite"
                )
        if maximum_length_ratio == 0 and maximum_length_extra == 0:
            raise ValueError("maximum_length_ratio and maximum_length_extra: one must be above 0")
        for name, minimum, maximum in (
            ("length_ratio", minimum_length_ratio, maximum_length_ratio),
            ("length_extra", minimum_length_extra, maximum_length_extra),
        ):
            if minimum > maximum:
                raise ValueError(
                    f"minimum_{name} and maximum_{name}: {minimum} is more than {maximum}; "
                    "the minimum must not pass the maximum for any source"
                )
        self.maximum = (maximum_length_ratio, maximum_length_extra)
        self.minimum = (minimum_length_ratio, minimum_length_extra)

    def max_lengths(self, source_lengths: tf.Tensor) -> tf.Tensor:
        """Returns the maximum length of each row, int32 `(batch,)`, at least 1."""
        return tf.maximum(_limits(self.maximum, source_lengths), 1)

    def min_lengths(self, source_lengths: tf.Tensor) -> tf.Tensor | tuple[()]:
        """Returns the minimum length of each row, int32 `(batch,)`; `()` if there is none."""
        return _limits(self.minimum, source_lengths) if any(self.minimum) else ()


def _limits(limit: tuple[float, int], source_lengths: tf.Tensor) -> tf.Tensor:
    ratio, extra = limit
    return tf.cast(ratio * tf.cast(source_lengths, tf.float32), tf.int32) + extra
