"""A moving average of the weights: steadier than the last step's, and better in the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

EVERY = 10
"""Steps between two updates: the average is as good, and costs a tenth."""


class WeightAverage(keras.callbacks.Callback):
    """Averages weights over the last steps (Polyak & Juditsky, 1992), and is validated with.

    The decay grows with the steps, so that the first weights, which are random, are soon forgotten.

    Args:
        variables: The weights.
        decay: The share of the average that is kept at each step, in [0, 1); such as 0.999 for
            about the last 1,000 steps. 0 keeps the last step's weights.

    Attributes:
        averages: One variable a weight; none if `decay` is 0.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        super().__init__()
        self.variables = [variable.value for variable in variables] if decay else []
        self.averages = [tf.Variable(variable, trainable=False) for variable in self.variables]
        self.decay = decay

    def after_step(self, total_steps: int) -> None:
        """Updates the average, once in `EVERY` steps."""
        if self.averages and total_steps % EVERY == 0:
            decay = min(self.decay**EVERY, total_steps / (total_steps + 10 * EVERY))
            self._update(tf.constant(decay, tf.float32))

    @tf.function(autograph=False)
    def _update(self, decay: tf.Tensor) -> None:
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign_sub((1 - tf.cast(decay, average.dtype)) * (average - variable))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the averages in the place of the weights for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Lets the validation within `fit` measure the average."""
        self._swap()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Lets training go on."""
        self._swap()

    def take_over(self) -> None:
        """Makes the averages the weights."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            variable.assign(average)

    def _swap(self) -> None:
        for average, variable in zip(self.averages, self.variables, strict=True):
            kept = tf.identity(variable)
            variable.assign(average)
            average.assign(kept)
