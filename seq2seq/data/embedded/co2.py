"""Carbon dioxide in the air of Mauna Loa, from the package statsmodels."""

import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pandas as pd

from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.formats.series import SeriesSplits
from seq2seq.data.formats.series_dates import parsed_ds
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.formats.series_panel import OneSeries, parsed_series
from seq2seq.data.formats.series_table import read_table
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

_FILE = "datasets/co2/co2.csv"


class Co2(Dataset):
    """The embedded forecasting dataset: carbon dioxide of Mauna Loa, from 1958 to 2001, in ppm.

    The series `co2` has the target `y`: 2,284 weekly values, or their monthly means, 526. Missing
    values are interpolated. The source is a file in the package statsmodels (public domain).

    Args:
        frequency: `MS` for monthly means, `W-SAT` for the weekly values.
        validation_length: Steps for validation.
        test_length: Steps for the test, at the end.
        train_on_validation: Whether the validation part is training data, too.

    Example:
        >>> next(Co2().records("train"))["y"][:2]
        [316.1, 317.2]
    """

    def __init__(
        self,
        frequency: Literal["MS", "W-SAT"] = "MS",
        validation_length: int = 24,
        test_length: int = 24,
        train_on_validation: bool = False,
    ) -> None:
        if frequency not in ("MS", "W-SAT"):
            raise UserError(f"data.frequency={frequency}: there is MS and W-SAT.")
        self.format = SeriesFormat(frequency=frequency, missing="linear")
        self._splits = SeriesSplits(validation_length, test_length, train_on_validation)
        super().__init__(SPLITS)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the version of statsmodels."""
        return {"name": "co2", "source": f"statsmodels {version('statsmodels')}"}

    @functools.cached_property
    def _series(self) -> list[OneSeries]:
        values = weekly_values()
        if self.format.frequency == "MS":
            values = values.resample("MS").mean()
        frame = pd.DataFrame({"unique_id": "co2", "ds": values.index, "y": values.to_numpy()})
        table = read_table(frame, self.format, "co2")
        return self._splits.long_enough(parsed_series(table, self.format))

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        return self._splits.records(split, self._series, self.format)

    def _content(self, split: str) -> list[str]:
        about = self.describe()["source"]
        return ["1", split, about, self.format.settings(), str(asdict(self._splits))]


def weekly_values() -> pd.Series:
    """Returns the weekly values by the date of their Saturday, NaN where they are missing."""
    # Without importing statsmodels, which takes seconds.
    package = importlib.util.find_spec("statsmodels")
    if package is None or package.origin is None:
        raise UserError("data=co2 needs the package statsmodels: pip install statsmodels.")
    form = SeriesFormat(
        {"unique_id": None, "ds": "date"}, ["co2"], frequency="W-SAT", date_format="%Y%m%d"
    )
    table = read_table(Path(package.origin).parent / _FILE, form)
    return pd.Series(table.numbers("co2"), pd.DatetimeIndex(parsed_ds(table, form)))
