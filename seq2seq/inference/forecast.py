"""Forecasts of files and DataFrames: series in, a table with the steps that follow out."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seq2seq.config import locate
from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.formats.series import read_history
from seq2seq.errors import UserError
from seq2seq.inference.input_files import check_readable
from seq2seq.inference.output_files import output
from seq2seq.prediction_rows import ForecastRow
from seq2seq.progress import step
from seq2seq.request import PredictionRequest
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.model_folder import CONFIG
from seq2seq.trust import Trust, load_saved

if TYPE_CHECKING:
    import pandas as pd

    from seq2seq.inference.predictor import Predictor

FORMATS = ("csv", "jsonl")


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
        request: `horizon`, `levels` and `batch_size`.
        output_format: `csv` or `jsonl`; None for CSV, or what the name of the file says.

    Raises:
        UserError: If the input or the request cannot be used.
    """
    if output_format is None:
        output_format = "jsonl" if target.endswith(".jsonl") else "csv"
    if output_format not in FORMATS:
        raise UserError(f"--format {output_format}: forecasts are written as csv or jsonl.")
    folder = Path(target).resolve().parent
    if target != "-" and not folder.is_dir():
        raise UserError(f"{target}: there is no folder {folder} to write to; make it first")
    task = predictor.task
    assert isinstance(task, Forecasting)  # see `is_forecasting`
    with step("reading the series"):
        records = series_of(task, source)
    with step("forecasting"):
        rows = cast(list[ForecastRow], predictor.predict(records, request))
    if target.endswith(".parquet"):
        from seq2seq.files import atomic_file

        with atomic_file(Path(target)) as temporary:
            forecast_table(task, rows).to_parquet(temporary, index=False)
        return
    with output(target) as stream:
        if output_format == "jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            forecast_table(task, rows).to_csv(
                stream, index=False, lineterminator="\n", float_format="%.10g"
            )


def series_of(task: Forecasting, source: "str | pd.DataFrame") -> list[Any]:
    """Returns the series of a file, of stdin (`-`), or of a DataFrame."""
    form = task.history_format()
    if isinstance(source, str) and source == "-":
        return list(read_history(sys.stdin.buffer.read(), form, "stdin"))
    if isinstance(source, str):
        check_readable(Path(source))
        return list(read_history(Path(source), form))
    return list(read_history(source, form, "series"))


def series_of_csv(task: Forecasting, text: str) -> list[Any]:
    """Returns the series of a CSV file's text."""
    check_characters(text, "csv")
    return list(read_history(text.encode(), task.history_format(), "csv"))


def forecast_table(task: Forecasting, rows: Sequence[ForecastRow]) -> "pd.DataFrame":
    """Returns forecasts in the long format of the input: a row for each series and step.

    Each target has a column of its own name, and for intervals `NAME-lo-80`, `NAME-hi-80`, as in
    the libraries of Nixtla.
    """
    import pandas as pd

    names = task.format.columns
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
            for level, values in row["quantiles"].items():
                if (percent := 200 * abs(float(level) - 0.5)) > 0:
                    side = "lo" if float(level) < 0.5 else "hi"
                    columns[f"{row['target']}-{side}-{percent:g}"] = values
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
