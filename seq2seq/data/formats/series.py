"""Reads time series from tables: CSV and Parquet, in the long or the wide layout."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from seq2seq.data.dataset import SPLITS
from seq2seq.data.formats.base import FolderDataset
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.formats.series_panel import OneSeries, filled, parsed_series
from seq2seq.data.formats.series_table import joined, read_table
from seq2seq.data.formats.text_files import content_hash, find_file
from seq2seq.data.records import PlacedRecord, first_places
from seq2seq.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeriesSplits:
    """Splits each series by time: the test part is its end, the validation part is before.

    Attributes:
        validation_length: Steps of each series for validation.
        test_length: Steps of each series for the test.
        train_on_validation: Whether the validation part is training data, too.
        minimum_length: Steps that the part before the validation part must have.
        too_short: Whether series with fewer are left out or refused.

    Raises:
        UserError: If a length is below 1.
    """

    validation_length: int
    test_length: int
    train_on_validation: bool = False
    minimum_length: int = 1
    too_short: str = "leave_out"

    def __post_init__(self) -> None:
        for key in ("validation_length", "test_length", "minimum_length"):
            if getattr(self, key) < 1:
                raise UserError(f"data.{key}={getattr(self, key)} is below 1.")
        if self.too_short not in ("leave_out", "refuse"):
            raise UserError(f"data.too_short={self.too_short}: there is leave_out and refuse.")

    def long_enough(self, series: list[OneSeries]) -> list[OneSeries]:
        """Returns the series that have enough steps; logs or raises UserError for the others."""
        held_out = self.validation_length + self.test_length
        needed = held_out + self.minimum_length
        short = [one.place for one in series if len(one) < needed]
        if not short:
            return series
        needs = (
            f"{needed} steps are needed: data.validation_length={self.validation_length}, "
            f"data.test_length={self.test_length} and data.minimum_length={self.minimum_length}"
        )
        if len(short) == len(series):
            longest = max(map(len, series))
            raise UserError(
                f"No series is long enough; the longest of {len(series)} has {longest} steps. "
                f"{needs}."
            )
        if self.too_short == "refuse":
            raise UserError(
                f"{len(short)} of {len(series)} series are too short ({first_places(short)}). "
                f"{needs}; data.too_short=leave_out leaves them out."
            )
        log.warning(
            "%d of %d series are too short and left out (%s). %s.",
            len(short), len(series), first_places(short), needs,
        )  # fmt: skip
        return [one for one in series if len(one) >= needed]

    def cut(self, split: str, length: int) -> tuple[int, int]:
        """Returns where the split of a series begins, and its end."""
        if split == "test":
            return length - self.test_length, length
        validation_end = length - self.test_length
        validation_start = validation_end - self.validation_length
        if split == "validation":
            return validation_start, validation_end
        return 0, validation_end if self.train_on_validation else validation_start

    def records(
        self, split: str, series: list[OneSeries], form: SeriesFormat
    ) -> Iterator[PlacedRecord]:
        """Yields the record of each series for a split."""
        for one in series:
            start, end = self.cut(split, len(one))
            yield _record(one, form, start, end)


class Series(FolderDataset):
    """Reads time series from CSV and Parquet files, and splits each of them by time.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files; gzip works for CSV.
        columns: The columns `unique_id` (the name of the series) and `ds` (its dates, or steps);
            `null` where there is none. A file without a column `unique_id` is one series, named
            after the file; without `ds`, rows are the steps 1, 2, ...
        targets: The columns to forecast; in the wide layout, a name for the one target.
        known: Covariates that are known in advance, such as holidays.
        past: Covariates that are known for the past only, such as the weather.
        static: Numbers or texts that are constant in a series.
        layout: `long` (a row for each series and step), or `wide` (each column besides `ds` is a
            series).
        frequency: The frequency of the dates as a pandas alias, such as `MS`; `null` infers it.
        missing: What to do about missing values and steps: `refuse`, `zero`, `forward` (the value
            before), `linear` (interpolation; nothing behind a split's start is used before it), or
            `mask` (the targets are NaN; covariates as by `forward`).
        validation_length: Steps of each series for validation.
        test_length: Steps of each series for the test, at its end.
        train_on_validation: Whether the validation part is training data, too.
        minimum_length: Steps that the part before the validation part must have.
        too_short: Whether series with fewer are left out, with a warning, or refused.
        sort: Whether to sort the rows of each series by `ds`; else unordered rows are refused.
        delimiter: The character between two columns of a CSV file.
        date_format: The format of dates that are not ISO 8601, such as `%d.%m.%Y`.

    Example:
        >>> dataset = Series("m4", "monthly.csv", validation_length=18, test_length=18)
    """

    def __init__(  # noqa: PLR0913 - each is a key of conf/data/series.yaml
        self,
        directory: str,
        files: str | Sequence[str],
        *,
        columns: Mapping[str, str | None] | None = None,
        targets: Sequence[str] = ("y",),
        known: Sequence[str] = (),
        past: Sequence[str] = (),
        static: Sequence[str] = (),
        layout: Literal["long", "wide"] = "long",
        frequency: str | None = None,
        missing: Literal["refuse", "zero", "forward", "linear", "mask"] = "refuse",
        validation_length: int = 1,
        test_length: int = 1,
        train_on_validation: bool = False,
        minimum_length: int = 1,
        too_short: Literal["leave_out", "refuse"] = "leave_out",
        sort: bool = False,
        delimiter: str = ",",
        date_format: str | None = None,
    ) -> None:
        self._names = (files,) if isinstance(files, str) else tuple(files)
        if not self._names:
            raise UserError("data.files is empty: name at least one file.")
        self.format = SeriesFormat(
            columns or {}, targets, known, past, static, layout, frequency, missing, sort,
            delimiter, date_format,
        )  # fmt: skip
        self._splits = SeriesSplits(
            validation_length, test_length, train_on_validation, minimum_length, too_short
        )
        super().__init__(directory, SPLITS)

    def describe(self) -> dict[str, str]:
        """Returns the name and path of the file, or of the folder of several."""
        about = super().describe()
        if len(self._names) > 1:
            return about
        path = Path(about["source"]) / self._names[0]
        stem = Path(path.name.removesuffix(".gz")).stem
        return {"name": f"{path.parent.name}/{stem}", "source": str(path)}

    def _paths(self) -> list[Path]:
        return [find_file(self._directory, name) for name in self._names]

    @functools.cached_property
    def _series(self) -> list[OneSeries]:
        table = joined([read_table(path, self.format) for path in self._paths()])
        series = self._splits.long_enough(parsed_series(table, self.format))
        for remark in _remarks(series, self.format):
            log.info("%s.", remark)
        return series

    def remarks(self) -> list[str]:
        """Returns how many values are missing, and what is done about them."""
        return _remarks(self._series, self.format)

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        return self._splits.records(split, self._series, self.format)

    def _content(self, split: str) -> list[str]:
        hashes = map(content_hash, self._paths())
        return [split, self.format.settings(), str(asdict(self._splits)), *self._names, *hashes]


def _remarks(series: list[OneSeries], form: SeriesFormat) -> list[str]:
    values = np.concatenate([values for one in series for values in one.values.values()])
    missing = int(np.isnan(values).sum())
    text = f"{missing} of {len(values)} values are missing: data.missing={form.missing}"
    return [text] if missing else []


def read_history(
    source: Path | str | bytes | pd.DataFrame, form: SeriesFormat, name: str | None = None
) -> list[PlacedRecord]:
    """Returns the record of each series of a file, to forecast what comes after it.

    The last rows of a series that have no target are rows of the future: `horizon_rows` is their
    number, and the covariates that are known in advance reach over them. The format's frequency is
    ignored where the file has steps.

    Args:
        source: The path of a CSV or Parquet file, its bytes (such as those of standard input), or
            a frame.
        form: What the columns mean.
        name: The name of bytes or a frame in messages.

    Raises:
        UserError: If it cannot be read, or its rows are faulty.
    """
    if isinstance(source, str):
        source = Path(source)
    if isinstance(source, Path):
        source = find_file(source.parent, source.name)
    series = parsed_series(read_table(source, form, name), form, history=True)
    return [_history(one, form) for one in series]


def _history(one: OneSeries, form: SeriesFormat) -> PlacedRecord:
    record = _record(one, form, len(one), len(one) + one.horizon_rows)
    return PlacedRecord({**record, "horizon_rows": one.horizon_rows}, one.place)


def _record(one: OneSeries, form: SeriesFormat, start: int, end: int) -> PlacedRecord:
    """Returns the record of a series up to `end`, the first `start` steps of it being history."""
    values = {}
    for column, numbers in one.values.items():
        missing = form.missing
        if missing == "mask" and column not in form.targets:
            missing = "forward"
        # What comes behind the history must not be seen in it.
        past, rest = filled(numbers[:start], missing), numbers[start:end]
        values[column] = filled(np.concatenate([past, rest]), missing)
        if missing != "mask" and np.isnan(values[column]).any():
            raise UserError(
                f"{one.place}: the column {column!r} has no value in the first "
                f"{len(values[column])} steps, so that data.missing={missing} has none to repeat. "
                "Give data.missing=zero."
            )
    return PlacedRecord(
        {
            "unique_id": one.unique_id,
            "ds": one.dates(end),
            "frequency": one.frequency,
            **{column: numbers.tolist() for column, numbers in values.items()},
            **one.statics,
            "start": start,
        },
        one.place,
    )
