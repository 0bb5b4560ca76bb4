"""Averages of the weights during a training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

UPDATE_STEPS = 10
"""The most steps between two updates: the average is as good, at a tenth of the cost."""


class WeightAverage(keras.callbacks.Callback):
    """Averages the weights of the last steps (Polyak & Juditsky, 1992), and validates with it.

    The decay grows with the steps, so that the random initial weights are soon forgotten.

    Args:
        variables: The weights.
        decay: Share of the average that is kept at each step, in [0, 1); such as 0.999 for
            about the last 1,000 steps. 0 turns averaging off.

    Attributes:
        averages: One variable a weight; none if `decay` is 0.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        super().__init__()
        self.variables = [variable.value for variable in variables] if decay else []
        self.averages = [tf.Variable(variable, trainable=False) for variable in self.variables]
        self.decay = decay
        self.is_swapped = False

    def after_step(self, total_steps: int, epoch_steps: int = UPDATE_STEPS) -> None:
        """Updates the average, once in `UPDATE_STEPS` steps, and at least once in each epoch."""
        steps = min(UPDATE_STEPS, epoch_steps)
        if self.averages and total_steps % steps == 0:
            warm_up = total_steps / (total_steps + 10 * steps)
            self._update(tf.constant(min(self.decay**steps, warm_up), tf.float32))

    def after_epoch(self, epoch: int) -> None:
        """Does nothing; `epoch`, from 0, has done its steps and is not validated yet."""

    @tf.function(autograph=False)
    def _update(self, decay: tf.Tensor) -> None:
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign_sub((1 - tf.cast(decay, average.dtype)) * (average - variable))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Swaps the averages and the weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Swaps the averages in for the validation within `fit`."""
        self._swap()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Swaps the weights back."""
        self._swap()

    def restore(self) -> None:
        """Swaps the weights back if a validation was interrupted."""
        if self.is_swapped:
            self._swap()

    def assign_to_weights(self) -> None:
        """Replaces the weights by their averages."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            variable.assign(average)

    def _swap(self) -> None:
        self.is_swapped = not self.is_swapped
        for average, variable in zip(self.averages, self.variables, strict=True):
            weights = tf.identity(variable)
            variable.assign(average)
            average.assign(weights)


class EpochAverage(WeightAverage):
    """Averages the weights at the end of each epoch: stochastic weight averaging (SWA).

    See Izmailov et al., 2018, https://arxiv.org/abs/1803.05407; it wants a rate that stays high, or
    the cycles of `CosineDecay`. Before the first epoch of the average, it is the weights.

    Args:
        variables: The weights.
        first_epoch: The first epoch, from 0, whose weights are averaged.
    """

    def __init__(self, variables: Sequence[keras.Variable], first_epoch: int) -> None:
        super().__init__(variables, decay=1.0)
        self.first_epoch = first_epoch

    def after_step(self, total_steps: int, epoch_steps: int = UPDATE_STEPS) -> None:
        """Does nothing: the average changes at the end of epochs."""

    def after_epoch(self, epoch: int) -> None:
        """Adds the weights to the average."""
        count = max(1, epoch - self.first_epoch + 1)
        self._update(tf.constant(1 - 1 / count, tf.float32))
