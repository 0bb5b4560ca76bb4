"""Parses tables of time series into series that are regular: a value for each step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.data.formats.series_dates import continued, frequencies, iso, parsed_ds, positions
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.formats.series_table import SeriesTable, is_empty, is_text, shown
from seq2seq.errors import UserError

_LARGEST_GROWTH = 100
"""How many times as many steps as rows are possible; more are a wrong date."""

_POLICIES = (
    "Correct the file, or give data.missing: zero, forward (the value before), linear "
    "(interpolation), or mask (the loss and the scores ignore it)."
)


@dataclass
class OneSeries:
    """One series, with a value for each step.

    Attributes:
        unique_id: Its name.
        place: Where its first row is.
        ds: The dates (datetime64) or steps (int64) of its history.
        frequency: The pandas alias of the frequency; `None` for steps.
        values: The numbers of each column, NaN where missing; covariates that are known in advance
            reach over the rows of the future, too.
        statics: The numbers and texts that are constant.
        horizon_rows: The number of rows of the future, below the history.
    """

    unique_id: str
    place: str
    ds: np.ndarray
    frequency: str | None
    values: dict[str, np.ndarray]
    statics: dict[str, float | str]
    horizon_rows: int = 0

    def __len__(self) -> int:
        return len(self.ds)

    def dates(self, count: int) -> list[Any]:
        """Returns the first `count` dates or steps as they stand in a record."""
        return iso(self.ds)[:count]


def parsed_series(table: SeriesTable, form: SeriesFormat, history: bool = False) -> list[OneSeries]:
    """Returns the series of a table, in the order of their first rows.

    Args:
        table: The rows.
        form: What the columns mean.
        history: Whether the last rows of a series without targets are rows of the future.

    Raises:
        UserError: If the rows are faulty.
    """
    return list(_Panel(table, form, history).series())


class _Panel:
    """The rows of all series, those of each one after the other, in the order of `ds`."""

    def __init__(self, table: SeriesTable, form: SeriesFormat, history: bool) -> None:
        self._table, self._form, self._history = table, form, history
        codes, names = pd.factorize(table.unique_id)
        self._names = [str(name) for name in names]
        ds = parsed_ds(table, form)
        order = np.argsort(codes, kind="stable")
        if ds is not None:
            self._check_duplicates(codes, ds)
            if form.sort:
                order = np.lexsort((ds, codes))
        self._rows = order
        self._codes = codes[order]
        self._bounds = np.searchsorted(self._codes, np.arange(len(names) + 1))
        if ds is None:
            starts = np.repeat(self._bounds[:-1], np.diff(self._bounds))
            self._ds = np.arange(len(order)) - starts + 1
        else:
            self._ds = ds[order]
        self._check_order()
        self._frequencies, self._steps = self._regular()
        self._numbers = {name: table.numbers(name)[order] for name in form.series_columns}

    def series(self) -> Iterator[OneSeries]:
        """Yields each series."""
        statics = {name: self._static(name) for name in self._form.static}
        for code, name in enumerate(self._names):
            series = self._one(code, name)
            series.statics = {column: values[code] for column, values in statics.items()}
            yield series

    def _describe(self, index: int) -> str:
        """Returns the place and series of a row, by its index in the panel."""
        place = self._table.place(int(self._rows[index]))
        return f"{place}: the series {self._names[self._codes[index]]!r}"

    def _check_duplicates(self, codes: np.ndarray, ds: np.ndarray) -> None:
        duplicated = pd.DataFrame({"code": codes, "ds": ds}).duplicated().to_numpy()
        if not duplicated.any():
            return
        row = int(duplicated.argmax())
        first = int(((codes == codes[row]) & (ds == ds[row])).argmax())
        raise UserError(
            f"{self._table.place(row)}: the series {self._names[codes[row]]!r} has a second row "
            f"for {iso(ds[row : row + 1])[0]}; the first is {self._table.place(first)}. If the "
            "file has several series, data.columns.unique_id names the column that tells them "
            "apart."
        )

    def _check_order(self) -> None:
        back = (self._codes[1:] == self._codes[:-1]) & (self._ds[1:] < self._ds[:-1])
        if back.any():
            index = int(back.argmax()) + 1
            before, after = iso(self._ds[index - 1 : index + 1])
            raise UserError(
                f"{self._describe(index)} goes back from {before} to {after}. Sort the file by "
                "series and date, or give data.sort=true."
            )

    def _regular(self) -> tuple[list[str | None], np.ndarray]:
        """Returns the frequency of each series, and the steps of each row from its start."""
        lengths = np.diff(self._bounds)
        if self._ds.dtype.kind != "M":
            self._check_steps()
            steps = self._ds - np.repeat(self._ds[self._bounds[:-1]], lengths)
            result: list[str | None] = [None] * len(self._names)
        else:
            own = frequencies(self._ds, self._bounds, self._form, self._describe)
            result = [*own]
            steps = np.zeros(len(self._ds), np.int64)
            of_row = np.repeat(np.array(own, dtype=object), lengths)
            for frequency in dict.fromkeys(own):
                chosen = np.flatnonzero(of_row == frequency)
                selected = [
                    length for length, f in zip(lengths, own, strict=True) if f == frequency
                ]
                bounds = np.concatenate([[0], np.cumsum(selected)])
                steps[chosen] = positions(self._ds[chosen], bounds, frequency)[0]
        self._check_gaps(steps, result)
        return result, steps

    def _check_steps(self) -> None:
        """Raises UserError if steps contradict the frequency of the format."""
        if self._form.frequency is not None and not self._history:
            raise UserError(
                f"{self._describe(0)} has steps, such as {self._ds[0]}, but "
                f"data.frequency={self._form.frequency} is for dates. Give data.frequency=null, "
                "or the format of the dates, such as data.date_format=%Y."
            )

    def _check_gaps(self, steps: np.ndarray, frequency: list[str | None]) -> None:
        gaps = (self._codes[1:] == self._codes[:-1]) & (np.diff(steps) > 1)
        if not gaps.any():
            return
        index = int(gaps.argmax()) + 1
        before, after = iso(self._ds[index - 1 : index + 1])
        name = frequency[self._codes[index]]
        where = f"between {before} and {after}" + (f" (frequency {name})" if name else "")
        if self._form.missing == "refuse":
            hint = ""
            if name is None and after > 1e7:
                hint = " If these are dates, give their format, such as data.date_format=%Y%m%d."
            raise UserError(f"{self._describe(index)} has no row {where}. {_POLICIES}{hint}")
        lengths = steps[self._bounds[1:] - 1] + 1
        if lengths.sum() > _LARGEST_GROWTH * (len(steps) + _LARGEST_GROWTH):
            index = int((np.diff(steps) * gaps).argmax()) + 1
            before, after = iso(self._ds[index - 1 : index + 1])
            raise UserError(
                f"{self._describe(index)} goes from {before} to {after}: far more steps are "
                "missing than there are rows. Correct the date, or data.frequency."
            )

    def _static(self, column: str) -> list[float | str]:
        """Returns the value of each series; raises UserError if one is empty or not constant."""
        raw = self._table.values[column].iloc[self._rows].reset_index(drop=True)
        if (empty := is_empty(raw)).any():
            raise UserError(
                f"{self._describe(int(empty.argmax()))} has no value in the column {column!r} "
                "(task.static)."
            )
        first = self._bounds[:-1]
        codes, distinct = pd.factorize(raw)
        values = _static_values(pd.Series(distinct))
        same = pd.factorize(values)[0][codes]
        differs = same != np.repeat(same[first], np.diff(self._bounds))
        if differs.any():
            index = int(differs.argmax())
            start = int(first[self._codes[index]])
            raise UserError(
                f"{self._describe(index)} has {shown(raw.iloc[index])} in the column {column!r}, "
                f"but {shown(raw.iloc[start])} in its first row; task.static is for columns that "
                "are constant in a series. Name it in task.known or task.past."
            )
        return values[codes[first]].tolist()

    def _one(self, code: int, name: str) -> OneSeries:
        start, end = int(self._bounds[code]), int(self._bounds[code + 1])
        values = {column: numbers[start:end] for column, numbers in self._numbers.items()}
        targets = np.stack([values[target] for target in self._form.targets])
        has_target = ~np.isnan(targets).all(axis=0)
        if not has_target.any():
            raise UserError(
                f"{self._describe(start)} has no value of {', '.join(self._form.targets)}."
            )
        if self._form.layout == "wide":  # empty cells before and after a series are not its own
            first, last = np.flatnonzero(has_target)[[0, -1]]
            start, end = start + int(first), start + int(last) + 1
            values = {column: numbers[first : last + 1] for column, numbers in values.items()}
            has_target = has_target[first : last + 1]
        steps = self._steps[start:end] - self._steps[start]
        count, frequency = int(steps[-1]) + 1, self._frequencies[code]
        ds, rows = self._ds[start:end], np.arange(start, end)
        if count > len(steps):
            ds = continued(ds[0], frequency, count)
            values = {column: _spread(numbers, steps, count) for column, numbers in values.items()}
            rows = start + np.searchsorted(steps, np.arange(count))
        length = count
        if self._history and self._form.layout == "long":
            length = int(steps[np.flatnonzero(has_target)[-1]]) + 1
        for column in (*self._form.targets, *self._form.past):
            values[column] = values[column][:length]
        if self._form.missing == "refuse":
            self._check_missing(values, rows)
        place = f"{self._table.place(int(self._rows[start]))} ({name})"
        return OneSeries(name, place, ds[:length], frequency, values, {}, count - length)

    def _check_missing(self, values: dict[str, np.ndarray], rows: np.ndarray) -> None:
        for column, numbers in values.items():
            if (missing := np.isnan(numbers)).any():
                index = int(rows[missing.argmax()])
                raise UserError(
                    f"{self._describe(index)} has no value in the column {column!r}. {_POLICIES}"
                )


def _spread(values: np.ndarray, steps: np.ndarray, count: int) -> np.ndarray:
    """Returns values at their steps, NaN between."""
    result = np.full(count, np.nan)
    result[steps] = values
    return result


def _static_values(distinct: pd.Series) -> np.ndarray:
    """Returns numbers if all values are numbers, and none is rather a name, such as `007`."""
    texts = distinct.astype(str).str.strip()
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    is_name = is_text(distinct) and texts.str.fullmatch(r"0\d+").any()
    return texts.to_numpy(dtype=object) if is_name or not np.isfinite(numbers).all() else numbers


def filled(values: np.ndarray, missing: str) -> np.ndarray:
    """Returns values without NaN, by one of the policies `MISSING`; `mask` keeps NaN.

    `forward` and `linear` have the nearest value where there is none before (or behind).

    Example:
        >>> filled(np.array([np.nan, 1, np.nan, 3]), "linear").tolist()
        [1.0, 1.0, 2.0, 3.0]
    """
    empty = np.isnan(values)
    if missing == "mask" or not empty.any():
        return values
    if missing == "zero":
        return np.where(empty, 0.0, values)
    known = np.flatnonzero(~empty)
    if not len(known):
        return values
    index = np.arange(len(values))
    if missing == "linear":
        return np.interp(index, known, values[known])
    return values[known[np.maximum(np.searchsorted(known, index, side="right") - 1, 0)]]
