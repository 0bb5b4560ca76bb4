"""What the columns of a file of time series mean, and how its values are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd

from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest

LAYOUTS = ("long", "wide")
MISSING = ("refuse", "zero", "forward", "linear", "mask")
"""What to do about missing values, and about steps that have no row."""

_COLUMNS = {"unique_id": "unique_id", "ds": "ds"}
_FIELDS = ("unique_id", "ds", "frequency", "start", "horizon_rows")
"""The fields of a record that are not columns of values."""

_QUARTERS = dict.fromkeys(("QE", "QS", "BQE", "BQS"), 4)
_MONTHS = dict.fromkeys(("ME", "MS", "BME", "BMS", "CBME", "CBMS"), 12)
_SEASONS = {**_QUARTERS, **_MONTHS, "W": 52, "D": 7, "B": 5, "h": 24, "min": 1440, "s": 3600}
"""The steps of the usual season, by what pandas calls the step."""


@dataclass(frozen=True)
class SeriesFormat:
    """What the columns of a file of time series mean, and how its values are read.

    Attributes:
        columns: The columns `unique_id` and `ds`; `None` where there is none.
        targets: The columns to forecast; in the wide layout, the name of the one target.
        known: Covariates that are known in advance.
        past: Covariates that are known for the past only.
        static: Numbers or texts that are constant in a series.
        layout: `long` (a row for each series and step), or `wide` (a column for each series).
        frequency: The frequency of the dates as a pandas alias, such as `MS`; `None` infers it.
        missing: What to do about missing values and steps, one of `MISSING`.
        sort: Whether to sort the rows of each series by `ds`, instead of refusing unordered ones.
        delimiter: The character between two columns of a CSV file.
        date_format: The format of dates that are not ISO 8601, such as `%d.%m.%Y`.

    Raises:
        UserError: If a value is invalid, or two of them contradict each other.
    """

    columns: Mapping[str, str | None] = field(default_factory=lambda: dict(_COLUMNS))
    targets: Sequence[str] = ("y",)
    known: Sequence[str] = ()
    past: Sequence[str] = ()
    static: Sequence[str] = ()
    layout: str = "long"
    frequency: str | None = None
    missing: str = "refuse"
    sort: bool = False
    delimiter: str = ","
    date_format: str | None = None

    def __post_init__(self) -> None:
        for key in self.columns:
            if key not in _COLUMNS:
                raise UserError(f"data.columns.{key}: no such column{nearest(key, _COLUMNS)}.")
        object.__setattr__(self, "columns", {**_COLUMNS, **self.columns})
        for role in ("targets", "known", "past", "static"):
            names = getattr(self, role)
            names = (names,) if isinstance(names, str) else tuple(map(str, names))
            object.__setattr__(self, role, names)
        self._check_choices()
        self._check_names()

    @property
    def covariates(self) -> tuple[str, ...]:
        """The covariates that have a value at each step."""
        return (*self.known, *self.past)

    @property
    def series_columns(self) -> tuple[str, ...]:
        """The columns that have a number at each step."""
        return (*self.targets, *self.covariates)

    def settings(self) -> str:
        """Returns everything that determines what is read from a file."""
        return repr({item.name: getattr(self, item.name) for item in fields(self)})

    def _check_choices(self) -> None:
        for key, value, choices in (
            ("layout", self.layout, LAYOUTS),
            ("missing", self.missing, MISSING),
        ):
            if value not in choices:
                raise UserError(
                    f"data.{key}={value}: no such choice{nearest(str(value), choices)}; "
                    f"there is {', '.join(choices)}."
                )
        if len(self.delimiter) != 1:
            raise UserError(f"data.delimiter={self.delimiter!r}: must be one character.")
        if self.columns["ds"] is None:
            for key in ("frequency", "date_format"):
                if getattr(self, key) is not None:
                    raise UserError(f"data.{key} needs dates, but data.columns.ds is null.")
            if self.sort:
                raise UserError("data.sort=true needs data.columns.ds, which is null.")
        if self.frequency is not None:
            checked_offset(self.frequency)

    def _check_names(self) -> None:
        if not self.targets:
            raise UserError("task.targets is empty: name at least one column to forecast.")
        names = [*self.series_columns, *self.static]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f"The column {name!r} is named twice in task.targets, task.known, task.past "
                    "and task.static; it can be one of them only."
                )
            if name in self.columns.values():
                raise UserError(f"The column {name!r} is also named in data.columns.")
            if name in _FIELDS:
                raise UserError(
                    f"The column {name!r} has the name of another field of the records; rename "
                    "the column."
                )
        if self.layout == "wide" and len(names) > 1:
            raise UserError(
                "data.layout=wide has one target and no covariates, since each column is a "
                f"series of its own; remove {', '.join(names[1:])}, or use data.layout=long."
            )


def season_length_of(frequency: str | None) -> int:
    """Returns the steps of the usual season: years of quarters, months and weeks, weeks of days.

    Of hours and minutes it is a day, of seconds an hour; 1 where there is none.

    Args:
        frequency: A pandas alias; None for steps without dates.
    """
    if frequency is None:
        return 1
    step = checked_offset(frequency)
    name = step.base.freqstr.split("-")[0]  # W of 2W-SUN
    length, rest = divmod(_SEASONS.get(name, 1), step.n)
    return 1 if rest else length


def checked_offset(frequency: str) -> pd.offsets.BaseOffset:
    """Returns the step of a frequency; raises UserError if pandas has no such alias."""
    try:
        offset = pd.tseries.frequencies.to_offset(frequency)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"data.frequency={frequency}: no alias of pandas ({' '.join(str(error).split())}). "
            "There is h (hours), D (days), B (business days), W-SUN (weeks), MS and ME (months), "
            "QS and QE (quarters), YS and YE (years)."
        ) from None
    if offset is None or offset.n < 1 or "bh" in frequency.lower():
        raise UserError(f"data.frequency={frequency}: cannot be the step of a series.")
    return offset
