"""Scaling of windows of series: fitted on the history of each window alone, and undone exactly."""

import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from seq2seq.errors import UserError

KINDS = ("mean", "standard", "robust", "last", "none")
SEASONS = ("none", "difference")


class Scale(NamedTuple):
    """How the values of windows are scaled: `(g(y) - offset) / factor`, g the log or nothing."""

    past_offset: np.ndarray
    """`(batch, context_length)`."""
    future_offset: np.ndarray
    """`(batch, horizon)`."""
    factor: np.ndarray
    """`(batch, 1)`, above 0."""
    is_log: bool
    """Whether g is the natural logarithm."""
    limit: float = np.inf
    """Scaled histories are clipped to this, and to its negative."""
    steps: np.ndarray | None = None
    """Further features of each past step, `(batch, context_length, features)`."""
    window: np.ndarray | None = None
    """Features of each window, `(batch, features)`."""
    unsigned: int = 0
    """How many of the window's features, the first ones, keep their sign when it is mirrored."""

    def past(self, values: np.ndarray) -> np.ndarray:
        """Scales histories, `(batch, context_length)`."""
        scaled = (self._g(values) - self.past_offset) / self.factor
        return np.clip(scaled, -self.limit, self.limit)

    def future(self, values: np.ndarray) -> np.ndarray:
        """Scales values of the forecast steps, `(batch, horizon)`."""
        return (self._g(values) - self.future_offset) / self.factor

    def undo(self, scaled: np.ndarray) -> np.ndarray:
        """Returns forecasts `(..., batch, horizon)` in the units of the series."""
        values = np.asarray(scaled, np.float64) * self.factor + self.future_offset
        return np.exp(values) if self.is_log else values

    def last_steps(self, lengths: np.ndarray, count: int) -> "Scale":
        """Returns the scale of the last `count` steps of each history of the given lengths."""
        steps = None if self.steps is None else last_steps(self.steps, lengths, count)
        past_offset = last_steps(self.past_offset, lengths, count)
        return self._replace(past_offset=past_offset, steps=steps)

    def up_to(self, steps: int) -> "Scale":
        """Returns the scale of the first steps of all histories."""
        return self._replace(past_offset=self.past_offset[:, :steps])

    def rows(self, places: np.ndarray) -> "Scale":
        """Returns the scale of some windows."""
        arrays = ("past_offset", "future_offset", "factor", "steps", "window")
        parts = {name: getattr(self, name) for name in arrays}
        return self._replace(**{k: v[places] for k, v in parts.items() if v is not None})

    def _g(self, values: np.ndarray) -> np.ndarray:
        if not self.is_log:
            return values
        with np.errstate(invalid="ignore", divide="ignore"):  # padding
            return np.log(values)


class Scaling(Protocol):
    """Scales windows of series by their history.

    Attributes:
        history_length: The most steps that a scale is fitted on; 0 for those that the model reads.
        log: Whether logarithms are scaled.
        subtracts: Whether an offset is subtracted, so that 0 does not stay 0.
        is_slow: Whether the scales of all windows are computed once and kept.
        step_features: Features of each past step, beside the value.
    """

    @property
    def history_length(self) -> int:
        """See the class."""

    @property
    def log(self) -> bool:
        """See the class."""

    @property
    def subtracts(self) -> bool:
        """See the class."""

    @property
    def is_slow(self) -> bool:
        """See the class."""

    @property
    def step_features(self) -> int:
        """See the class."""

    def check(self, lowest: float, place: str = "A series") -> None:
        """Raises a `UserError` if a series with this lowest value cannot be scaled."""

    def window_features(self, season_length: int, horizon: int) -> int:
        """Returns the number of features of a window."""

    def fit(
        self, history: np.ndarray, observed: np.ndarray, season_length: int, horizon: int
    ) -> Scale:
        """Fits the scale of each window, see `WindowScaling.fit`."""


@dataclass(frozen=True)
class WindowScaling:
    """Scales each window by its own history.

    Args:
        kind: What is subtracted, and divided by: `mean` (nothing; the mean absolute value),
            `standard` (the mean; the standard deviation), `robust` (the median; the interquartile
            range), `last` (the last value; the mean absolute difference to it), or `none`.
        log: Whether the logarithm of the values is scaled, which must be above 0.
        season: `difference` subtracts from each value that of one season before; beyond one
            season, forecasts are differences to the last season of the history. The first season
            of a history, which has no season before it, becomes 0.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> scaling = WindowScaling("standard")
        >>> scale = scaling.fit(np.array([[1.0, 3.0]]), np.array([[True, True]]), 2, horizon=1)
        >>> scale.past(np.array([[1.0, 3.0]])), scale.undo(np.array([[2.0]]))
        (array([[-1.,  1.]]), array([[4.]]))
    """

    kind: Literal["mean", "standard", "robust", "last", "none"] = "standard"
    log: bool = False
    season: Literal["none", "difference"] = "none"
    history_length = 0
    is_slow = False
    step_features = 0

    @property
    def subtracts(self) -> bool:
        """Whether an offset is subtracted, or the logarithm taken."""
        return self.log or self.kind not in ("mean", "none") or self.season != "none"

    def window_features(self, season_length: int, horizon: int) -> int:
        """Returns 0: windows have no features."""
        return 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.season not in SEASONS:
            raise ValueError(f"season: must be one of {', '.join(SEASONS)}, got {self.season!r}")

    def fit(
        self, history: np.ndarray, observed: np.ndarray, season_length: int, horizon: int
    ) -> Scale:
        """Fits the scale of each window.

        Args:
            history: The values before the forecast, float64 `(batch, context_length)`,
                right-padded.
            observed: Whether each is a value, not padding and not missing, of the same shape.
            season_length: The steps of a season.
            horizon: The steps of the forecast.

        Raises:
            UserError: If a value is not above 0, and its logarithm is needed.
        """
        values = np.where(observed, history, np.nan)
        if self.log:
            self.check(float(np.nanmin(values, initial=np.inf)))
            values = np.log(values)
        past, future = np.zeros(values.shape), np.zeros((len(values), horizon))
        if self.season == "difference":
            past, future = _seasons_before(values, season_length, horizon)
        offset, factor = self._moments(values - past)
        past_offset = np.where(np.isnan(past), values, past + offset)
        return Scale(np.nan_to_num(past_offset), future + offset, factor, self.log)

    def check(self, lowest: float, place: str = "A series") -> None:
        """Raises a `UserError` if the lowest value of a series has no logarithm, and needs one."""
        if self.log:
            check_positive(
                lowest, place, "task.scaling.log=true takes the logarithm; set it to false"
            )

    def _moments(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns offset and factor of values with NaN where there are none, `(batch, 1)` each."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # rows without values
            offset, factor = self._raw_moments(values)
        offset = np.where(np.isfinite(offset), offset, 0.0)
        usable = np.isfinite(factor) & (factor > 1e-12 * np.maximum(1e-12, np.abs(offset)))
        return offset[:, np.newaxis], np.where(usable, factor, 1.0)[:, np.newaxis]

    def _raw_moments(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        zeros, ones = np.zeros(len(values)), np.ones(len(values))
        match self.kind:
            case "mean":
                return zeros, np.nanmean(np.abs(values), axis=1)
            case "standard":
                return np.nanmean(values, axis=1), np.nanstd(values, axis=1)
            case "robust":
                low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=1)
                return middle, high - low
            case "last":
                last = last_values(values)
                return last, np.nanmean(np.abs(values - last[:, np.newaxis]), axis=1)
        return zeros, ones


def check_positive(lowest: float, place: str, advice: str) -> None:
    """Raises a `UserError` with advice if a value is not above 0."""
    if lowest <= 0:
        raise UserError(f"{place} has the value {lowest:g}, which has no logarithm, and {advice}.")


def last_steps(values: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """Returns the last `count` steps of left-aligned histories, left-aligned.

    Args:
        values: `(batch, steps, ...)`.
        lengths: The steps of each history, `(batch,)`.
        count: The most steps to return.
    """
    if values.shape[1] <= count:
        return values
    first = np.maximum(lengths - count, 0)
    places = np.minimum(first[:, np.newaxis] + np.arange(count), values.shape[1] - 1)
    return np.asarray(values[np.arange(len(values))[:, np.newaxis], places])


def last_values(values: np.ndarray) -> np.ndarray:
    """Returns the last value of each row that is not NaN, `(batch,)`; NaN where there is none."""
    known = ~np.isnan(values)
    last = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(values[np.arange(len(values)), last])


def _seasons_before(
    values: np.ndarray, season_length: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the value of one season before each step of history and forecast; NaN if unknown.

    Histories are right-padded with NaN, so their lengths are those without trailing NaN; a forecast
    step refers to the last season of its history, or the last value where it is shorter.
    """
    before = np.full(values.shape, np.nan)
    before[:, season_length:] = values[:, :-season_length]
    known = ~np.isnan(values)
    lengths = values.shape[1] - np.argmax(known[:, ::-1], axis=1)
    steps = lengths[:, np.newaxis] - season_length + np.arange(horizon) % season_length
    seasonal = np.take_along_axis(values, np.maximum(steps, 0), axis=1)
    missing = (steps < 0) | np.isnan(seasonal)
    return before, np.where(missing, last_values(values)[:, np.newaxis], seasonal)
