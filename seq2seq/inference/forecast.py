"""Forecasts of files and DataFrames: series in, a table with the steps that follow out."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seq2seq.config import locate
from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.formats.series import read_history
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.errors import UserError
from seq2seq.files import atomic_file
from seq2seq.inference.history_tables import advice_for, long_enough, reading_of, with_types_of
from seq2seq.inference.input_files import check_readable
from seq2seq.inference.output_files import output
from seq2seq.prediction_rows import ForecastRow, interval_ends
from seq2seq.progress import step
from seq2seq.request import PredictionRequest
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.model_folder import CONFIG
from seq2seq.trust import Trust, load_saved

if TYPE_CHECKING:
    import pandas as pd

    from seq2seq.inference.predictor import Predictor

FORMATS = ("csv", "jsonl")
ENDINGS = {"": "csv", ".csv": "csv", ".txt": "csv", ".jsonl": "jsonl"}


def is_forecasting(run_folder: Path, trust: Trust = ()) -> bool:
    """Returns whether a run forecasts series, by its config alone; not if there is none."""
    folder = run_folder / "model" if (run_folder / "model").is_dir() else run_folder
    if not (folder / CONFIG).is_file():
        return False
    config = load_saved(folder / CONFIG, trust)
    return bool(locate("task", config.task) is Forecasting)


def forecast_file(
    predictor: "Predictor",
    source: str,
    target: str,
    request: PredictionRequest,
    output_format: str | None = None,
) -> None:
    """Forecasts each series of a CSV or Parquet file.

    Args:
        predictor: A run, or an ensemble.
        source: The file, in the columns of the training data; `-` reads CSV from stdin.
        target: The CSV, Parquet or JSONL file to write, or `-` for stdout.
        request: `horizon`, `levels`, `batch_size`, and `settings` of `data` (see `reading_of`).
        output_format: `csv` or `jsonl`; None for what the name of the file says, else CSV.

    Raises:
        UserError: If the input or the request cannot be used.
    """
    output_format = _format_of(target, output_format)
    folder = Path(target).resolve().parent
    if target != "-" and not folder.is_dir():
        raise UserError(f"{target}: there is no folder {folder} to write to; make it first")
    task = predictor.task
    assert isinstance(task, Forecasting)  # see `is_forecasting`
    reading, settings = reading_of(task, request.settings)
    with step("reading the series"), advice_for("--set KEY=VALUE"):
        records = long_enough(task, series_of(task, source, reading.form), reading.too_short)
    with step("forecasting"):
        made = predictor.predict(records, replace(request, settings=settings))
        rows = cast(list[ForecastRow], made)
    if output_format == "parquet":
        table = forecast_table(task, rows, reading.form)
        if is_parquet(source):
            import pandas as pd

            table = with_types_of(pd.read_parquet(source), table, reading.form)
        with atomic_file(Path(target)) as temporary:
            table.to_parquet(temporary, index=False)
        return
    with output(target) as stream:
        if output_format == "jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            forecast_table(task, rows, reading.form).to_csv(
                stream, index=False, lineterminator="\n", float_format="%.10g"
            )


def _format_of(target: str, output_format: str | None) -> str:
    """Returns the format that the option or else the name of a file says.

    Raises:
        UserError: If forecasts are not written in it, or the option contradicts the name.
    """
    if output_format is not None and output_format not in FORMATS:
        raise UserError(f"--format {output_format}: forecasts are written as csv or jsonl.")
    if is_parquet(target):
        if output_format is not None:
            raise UserError(f"--format {output_format}: {target} is Parquet by its name.")
        return "parquet"
    if output_format is not None:
        return output_format
    ending = Path(target).suffix
    if ending not in ENDINGS:
        raise UserError(
            f"-o {target}: forecasts are not written as {ending}; give a name in .csv, .jsonl or "
            ".parquet, or --format csv."
        )
    return ENDINGS[ending]


def forecast_frame(
    predictor: "Predictor", frame: "pd.DataFrame", request: PredictionRequest
) -> "pd.DataFrame":
    """Forecasts each series of a DataFrame; `ds` and `unique_id` keep their types.

    Raises:
        UserError: If the table or the request cannot be used.
    """
    task = predictor.task
    assert isinstance(task, Forecasting)
    reading, settings = reading_of(task, request.settings)
    with advice_for("**{'KEY': ...}"):
        records = long_enough(task, series_of(task, frame, reading.form), reading.too_short)
    made = predictor.predict(records, replace(request, settings=settings))
    table = forecast_table(task, cast(list[ForecastRow], made), reading.form)
    return with_types_of(frame, table, reading.form)


def is_parquet(name: str) -> bool:
    """Returns whether a file is Parquet, by its name."""
    return name.endswith((".parquet", ".pq"))


def series_of(
    task: Forecasting, source: "str | pd.DataFrame", form: SeriesFormat | None = None
) -> list[Any]:
    """Returns the series of a file, of stdin (`-`) or of a DataFrame; by default as in training."""
    form = form or task.history_format()
    if isinstance(source, str) and source == "-":
        return list(read_history(sys.stdin.buffer.read(), form, "stdin"))
    if isinstance(source, str):
        check_readable(Path(source))
        return list(read_history(Path(source), form))
    return list(read_history(source, form))


def series_of_csv(task: Forecasting, text: str) -> list[Any]:
    """Returns the series of a CSV file's text."""
    check_characters(text, "csv")
    return list(read_history(text.encode(), task.history_format(), "csv"))


def forecast_table(
    task: Forecasting, rows: Sequence[ForecastRow], form: SeriesFormat | None = None
) -> "pd.DataFrame":
    """Returns forecasts in the long format of the input: a row for each series and step.

    The columns are named as in `form`, by default that of the training data. Each target has a
    column of its own name, and for intervals `NAME-lo-80`, `NAME-hi-80`, as in the libraries of
    Nixtla.
    """
    import pandas as pd

    names = (form or task.format).columns
    id_column, ds_column = names["unique_id"] or "unique_id", names["ds"] or "ds"
    parts = []
    for start in range(0, len(rows), len(task.targets)):
        of_series = rows[start : start + len(task.targets)]
        columns: dict[str, Any] = {
            id_column: of_series[0]["unique_id"],
            ds_column: of_series[0]["ds"],
        }
        for row in of_series:
            columns[row["target"]] = row["prediction"]
            columns |= interval_ends(row, row["target"])
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
