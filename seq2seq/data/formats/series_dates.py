"""Dates and steps of time series: parsing, frequencies, positions, and what comes after them."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.data.formats.series_format import SeriesFormat, checked_offset
from seq2seq.data.formats.series_table import SeriesTable, is_empty, shown
from seq2seq.errors import UserError

_DATE = "datetime64[us]"
_DAY = np.timedelta64(1, "D")
_MINIMUM_TO_INFER = 3
_LARGEST_STEP = 2**53
_PERIODS = (
    (400, None), (360, "YS or YE"), (88, "QS or QE"), (27, "MS or ME"), (7, "W-SUN"), (1, "D"),
    (1 / 24, "h"), (1 / 1440, "min"),
)  # fmt: skip
"""Days between two dates, and the frequencies that this may be."""


def parsed_ds(table: SeriesTable, form: SeriesFormat) -> np.ndarray | None:
    """Returns dates as datetime64, steps as int64, or `None` if there is no such column.

    Raises:
        UserError: If a value is empty, no date, or no whole number.
    """
    raw = table.ds
    if raw is None:
        return None
    if (empty := is_empty(raw)).any():
        raise UserError(
            f"{table.place(int(empty.argmax()))}: the column {form.columns['ds']!r} is empty; "
            "each row needs a date or a step."
        )
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return _naive(pd.DatetimeIndex(raw))
    codes, distinct = pd.factorize(raw)
    texts = pd.Series(distinct).astype(str).str.strip()
    if form.date_format is None:
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
        if np.isfinite(numbers).all():
            if (broken := (numbers != np.round(numbers)) | (abs(numbers) > _LARGEST_STEP)).any():
                row = int(broken[codes].argmax())
                raise UserError(
                    f"{table.place(row)}: the step {raw.iloc[row]} is no whole number; steps are "
                    "numbered 1, 2, 3, ..."
                )
            return numbers.astype(np.int64)[codes]
    dates = _parsed_dates(texts, form.date_format)
    if (bad := dates.isna()).any():
        row = int(bad[codes].argmax())
        wanted = form.date_format or "ISO 8601, such as 2001-01-31"
        hint = "" if form.date_format else ", such as '%d.%m.%Y'"
        raise UserError(
            f"{table.place(row)}: {shown(raw.iloc[row])} is no date ({wanted}). Give the format of "
            f"the dates as data.date_format{hint}."
        )
    return _naive(dates)[codes]


def _parsed_dates(texts: pd.Series, date_format: str | None) -> pd.DatetimeIndex:
    """Returns dates, NaT where a text is none; those of mixed time zones as UTC."""
    options: dict[str, Any] = {"format": date_format or "ISO8601", "errors": "coerce"}
    try:
        dates = pd.to_datetime(texts, **options)
        if pd.api.types.is_datetime64_any_dtype(dates.dtype):
            return pd.DatetimeIndex(dates)
    except ValueError as error:  # mixed time zones; or else an invalid format
        if "zone" not in str(error).lower():
            raise UserError(f"data.date_format={date_format}: {error}.") from None
    return pd.DatetimeIndex(pd.to_datetime(texts, utc=True, **options))


def _naive(dates: pd.DatetimeIndex) -> np.ndarray:
    return dates.tz_localize(None).to_numpy().astype(_DATE)


def frequencies(
    ds: np.ndarray, bounds: np.ndarray, form: SeriesFormat, describe: Callable[[int], str]
) -> list[str]:
    """Returns the frequency of each series.

    Args:
        ds: The dates of all series, one after the other.
        bounds: Where each series begins, and the end.
        form: Has the frequency, or `None` to infer it.
        describe: Returns the place and series of an index of `ds`, for messages.

    Raises:
        UserError: If dates are off the frequency, or it cannot be inferred, or is mixed.
    """
    count = len(bounds) - 1
    if form.frequency is not None:
        _, off = positions(ds, bounds, form.frequency)
        if off.any():
            index = int(off.argmax())
            raise UserError(
                f"{describe(index)}: the date {iso(ds[index : index + 1])[0]} is none of "
                f"data.frequency={form.frequency}."
            )
        return [form.frequency] * count
    reference = _reference(ds, bounds, describe)
    result = [reference] * count
    steps, off = positions(ds, bounds, reference)
    irregular = off.copy()
    irregular[1:] |= np.diff(steps) != 1
    irregular[bounds[:-1]] = off[bounds[:-1]]
    for series in np.flatnonzero(np.logical_or.reduceat(irregular, bounds[:-1])):
        start, end = bounds[series], bounds[series + 1]
        own = _inferred(ds[start:end])
        if own is not None and own != reference:
            if _unit(own) != _unit(reference):
                raise UserError(
                    f"{describe(start)} has the frequency {own}, but others have {reference}: "
                    "all series must have one. Keep those of one frequency, or, if rows are "
                    "missing, give data.frequency."
                )
            result[series] = own  # such as weeks that end on another day
        elif off[start:end].any():
            raise _irregular(ds[start:end], describe(start + int(off[start:end].argmax())))
    return result


def _reference(ds: np.ndarray, bounds: np.ndarray, describe: Callable[[int], str]) -> str:
    """Returns the frequency of the longest series that has one."""
    order = np.argsort(-np.diff(bounds), kind="stable")
    for series in order:
        frequency = _inferred(ds[bounds[series] : bounds[series + 1]])
        if frequency is not None:
            return frequency
    start, end = bounds[order[0]], bounds[order[0] + 1]
    raise _irregular(ds[start:end], describe(start))


def _inferred(ds: np.ndarray) -> str | None:
    if len(ds) < _MINIMUM_TO_INFER:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Any = pd.infer_freq(pd.DatetimeIndex(ds))
    frequency = getattr(found, "freqstr", found)  # pandas 4 returns an offset
    return None if frequency is None or "bh" in frequency.lower() else frequency


def _unit(frequency: str) -> str:
    """Returns a frequency without its anchor: `W` for `W-SAT`."""
    return frequency.partition("-")[0]


def _irregular(ds: np.ndarray, place: str) -> UserError:
    likely = ""
    if len(ds) > 1:
        days = float(np.median(np.diff(ds) / _DAY))
        names = [name for least, name in _PERIODS if days >= least]
        likely = f" (which may be {names[0]})" if names and names[0] else ""
    return UserError(
        f"{place}: no frequency can be inferred from its {len(ds)} date(s). Give "
        f"data.frequency{likely} and, if rows are missing, data.missing; or count the rows as "
        "steps: data.columns.ds=null."
    )


def positions(ds: np.ndarray, bounds: np.ndarray, frequency: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps from the start of each series to its dates, and which dates are between.

    Args:
        ds: The dates of all series, one after the other.
        bounds: Where each series begins, and the end.
        frequency: The pandas alias of the frequency.
    """
    offset = checked_offset(frequency)
    lengths = np.diff(bounds)
    if isinstance(offset, pd.offsets.Tick | pd.offsets.Day):
        step = np.timedelta64(offset.n, "D")
        if not isinstance(offset, pd.offsets.Day):
            step = np.timedelta64(offset.nanos // 1000, "us")
        since = ds - np.repeat(ds[bounds[:-1]], lengths)
        return since // step, since % step != np.timedelta64(0)
    days = ds.astype("datetime64[D]")
    grid = pd.date_range(days.min(), days.max(), freq=offset.base).to_numpy()
    grid = grid.astype("datetime64[D]")
    index = np.searchsorted(grid, days)
    padded = np.append(grid, np.datetime64("NaT"))
    times = ds - days
    off = (padded[index] != days) | (times != np.repeat(times[bounds[:-1]], lengths))
    since_start = index - np.repeat(index[bounds[:-1]], lengths)
    return since_start // offset.n, off | (since_start % offset.n != 0)


def continued(start: Any, frequency: str | None, count: int) -> np.ndarray:
    """Returns `count` dates or steps that begin with `start`."""
    if frequency is None:
        return np.arange(start, start + count)
    dates = pd.date_range(pd.Timestamp(start), periods=count, freq=checked_offset(frequency))
    return dates.to_numpy().astype(_DATE)


def iso(ds: np.ndarray, with_time: bool = False) -> list[Any]:
    """Returns steps as numbers, and dates as ISO 8601: with the time, if one is not midnight."""
    if ds.dtype.kind != "M":
        return ds.tolist()
    if not with_time and (ds == ds.astype("datetime64[D]")).all():
        return np.datetime_as_string(ds, unit="D").tolist()
    whole = (ds == ds.astype("datetime64[s]")).all()
    return np.datetime_as_string(ds, unit="s" if whole else "us").tolist()


def future_dates(
    ds: Sequence[str] | Sequence[int], frequency: str | None, horizon: int
) -> list[Any]:
    """Returns the dates or steps that come after a series.

    Args:
        ds: The dates (ISO 8601) or steps of the series.
        frequency: The pandas alias of their frequency; `None` for steps.
        horizon: How many to return.

    Example:
        >>> future_dates(["1960-11-01", "1960-12-01"], "MS", 2)
        ['1961-01-01', '1961-02-01']
        >>> future_dates([1, 2, 3], None, 2)
        [4, 5]
    """
    last = ds[-1]
    if frequency is None:
        return [int(last) + step for step in range(1, horizon + 1)]
    # Later than the last date, whether or not that is itself a date of the frequency.
    dates = continued(last, frequency, horizon + 1)
    after = dates[dates > np.datetime64(str(last), "us")][:horizon]
    return iso(after, with_time="T" in str(last))
