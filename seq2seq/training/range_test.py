"""The learning rate range test: the loss while the rate rises from step to step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW = 5
"""The steps of a moving average of the losses."""

DIVERGED = 4.0
"""The test ends if the mean loss of the last `WINDOW` steps is so many times its lowest value."""


@dataclass(frozen=True)
class RangeTest:
    """The losses of a range test (Smith, 2017, https://arxiv.org/abs/1506.01186).

    Attributes:
        rates: The learning rate of each step, ascending.
        losses: The loss of each step, before its update.
        diverged: Whether the test ended early, as the loss was not finite or far above its lowest.
    """

    rates: list[float]
    losses: list[float]
    diverged: bool

    @property
    def smoothed(self) -> list[float]:
        """A moving average of the losses, centred at each step, over fewer steps at the ends."""
        half = WINDOW // 2
        places = range(len(self.losses))
        return [float(np.mean(self.losses[max(n - half, 0) : n + half + 1])) for n in places]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest."""
        return self.rates[int(np.argmin(self.smoothed))]

    @property
    def suggested(self) -> float | None:
        """The rate at which the smoothed loss falls fastest, before it is lowest; or None.

        It is None if the loss does not fall.
        """
        smoothed = self.smoothed
        end = int(np.argmin(smoothed)) + 1
        if end < 3:
            return None
        slopes = np.gradient(smoothed[:end], np.log(self.rates[:end]))
        return self.rates[int(np.argmin(slopes))]


def range_test(
    step: Callable[[float], float], steps: int, lowest: float, highest: float
) -> RangeTest:
    """Trains with a rate that rises by the same factor from step to step.

    Args:
        step: Makes a training step with a rate; returns the loss before it, which may be no finite
            number.
        steps: The number of steps, at least 2.
        lowest: The rate of the first step.
        highest: The rate of the last step.

    Returns:
        The losses; those of a test that diverged end before the rest of the rates.
    """
    rates, losses, best = list[float](), list[float](), math.inf
    for number in range(steps):
        rate = lowest * (highest / lowest) ** (number / (steps - 1))
        loss = step(rate)
        recent = float(np.mean([*losses, loss][-WINDOW:]))
        if not math.isfinite(loss) or recent > DIVERGED * best:
            return RangeTest(rates, losses, diverged=True)
        best = min(best, recent)
        rates.append(rate)
        losses.append(loss)
    return RangeTest(rates, losses, diverged=False)
