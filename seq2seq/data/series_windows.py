"""Windows of time series: which history a training example has, and which steps it forecasts."""

from typing import Literal, NamedTuple

import numpy as np

from seq2seq.errors import UserError

WEIGHTINGS = ("windows", "series")


class SeriesWindow(NamedTuple):
    """The columns of a batch of windows, an int64 array `(rows, 3)`."""

    series: int
    """The index of the series."""
    number: int
    """The number of the window in its series, from 0."""
    mirrored: int
    """1 if the window is mirrored, else 0."""


MIRRORED = SeriesWindow._fields.index("mirrored")


class SeriesWindows:
    """Draws windows of series as a pure function of the seed and the epoch.

    Args:
        batch_size: Windows of a batch.
        steps_per_epoch: Batches of an epoch, drawn with replacement; None for each window once.
        mirror: Share of training windows that are mirrored: their scaled values change sign, so
            that the model cannot learn a direction from the years of the training data.
        weighting: With `steps_per_epoch`, what is drawn with equal probability: `windows`, or
            `series`, and then one of the windows of the series.

    Raises:
        UserError: If a value is impossible.

    Example:
        >>> windows = SeriesWindows(batch_size=2)
        >>> [batch.tolist() for batch in windows.evaluation_batches(np.array([1, 2]))]
        [[[0, 0, 0], [1, 0, 0]], [[1, 1, 0]]]
    """

    def __init__(
        self,
        batch_size: int = 64,
        steps_per_epoch: int | None = None,
        weighting: Literal["windows", "series"] = "windows",
        mirror: float = 0.0,
    ) -> None:
        for key, value in {"batch_size": batch_size, "steps_per_epoch": steps_per_epoch}.items():
            if value is not None and value < 1:
                raise UserError(f"batching.{key}={value} is below 1.")
        if weighting not in WEIGHTINGS:
            raise UserError(
                f"batching.weighting={weighting} is not one of {', '.join(WEIGHTINGS)}."
            )
        if not 0 <= mirror < 1:
            raise UserError(f"batching.mirror={mirror} is not at least 0 and below 1.")
        self.mirror = mirror
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.weighting = weighting

    def training_batches(
        self, counts: np.ndarray, hashes: np.ndarray, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Returns the batches of an epoch, which do not depend on the stored order of the series.

        Args:
            counts: The number of windows of each series, `(series,)`.
            hashes: A hash of each series' content, `(series,)`.
            seed: Determines the order, together with the epoch.
            epoch: The epoch.

        Returns:
            Arrays of windows, each `(rows in the batch, 3)`, see `SeriesWindow`.
        """
        generator = np.random.default_rng([seed, epoch])
        windows = self._drawn(generator, counts, hashes)
        windows[:, MIRRORED] = generator.random(len(windows)) < self.mirror
        return self._cut(windows)

    def _drawn(
        self, generator: np.random.Generator, counts: np.ndarray, hashes: np.ndarray
    ) -> np.ndarray:
        """Returns the windows of an epoch in their order, `(windows, 3)`."""
        series = np.argsort(hashes, kind="stable")
        if self.steps_per_epoch is None:
            windows = _all_windows(counts, series)
            return windows[generator.permutation(len(windows))]
        drawn = self.steps_per_epoch * self.batch_size
        if self.weighting == "windows":
            windows = _all_windows(counts, series)
            return windows[generator.integers(len(windows), size=drawn)]
        series = series[counts[series] > 0]
        chosen = series[generator.integers(len(series), size=drawn)]
        numbers = generator.integers(counts[chosen])
        return np.stack([chosen, numbers, np.zeros_like(numbers)], axis=1)

    def evaluation_batches(
        self, counts: np.ndarray, hashes: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Returns batches with each window once, series by series; see `training_batches`."""
        return self._cut(_all_windows(counts, np.arange(len(counts))))

    def _cut(self, windows: np.ndarray) -> list[np.ndarray]:
        return np.split(windows, range(self.batch_size, len(windows), self.batch_size))


def _all_windows(counts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns all windows of the series in `order`, `(windows, 3)`."""
    counts = counts[order].astype(np.int64)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    numbers = np.arange(len(firsts)) - firsts
    return np.stack([np.repeat(order, counts), numbers, np.zeros_like(numbers)], axis=1)
