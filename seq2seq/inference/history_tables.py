"""Tables of series to forecast from: how they are read, and the types of their columns."""

import datetime
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.records import first_places, place_of
from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest
from seq2seq.tasks.forecasting import Forecasting

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

PREFIX = "data."
CHANGEABLE = (
    "missing", "sort", "frequency", "date_format", "delimiter", "columns.unique_id", "too_short",
)  # fmt: skip
"""The keys of `data` that a prediction may change."""
NULLABLE = ("frequency", "date_format", "columns.unique_id")
TOO_SHORT = ("leave_out", "refuse")

_KEY = re.compile(rf"data\.({'|'.join(map(re.escape, CHANGEABLE))})\b")


class Reading(NamedTuple):
    """How the series of a table are read, and what is done about those that are too short."""

    form: SeriesFormat
    too_short: str = TOO_SHORT[0]


def reading_of(task: Forecasting, settings: Mapping[str, Any]) -> tuple[Reading, Mapping[str, Any]]:
    """Returns how tables are read, as in training but for `data.` settings; and other settings.

    Raises:
        UserError: If a setting cannot be changed in a prediction, or its value is invalid.
    """
    others = {key: value for key, value in settings.items() if not key.startswith(PREFIX)}
    own = {key: value for key, value in settings.items() if key not in others}
    return changed_reading(task.history_format(), own), others


def changed_reading(form: SeriesFormat, settings: Mapping[str, Any]) -> Reading:
    """Returns how tables are read, with settings by their keys such as `data.sort`.

    Raises:
        UserError: If a setting cannot be changed after a training, or its value is invalid.
    """
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        name = key.removeprefix(PREFIX)
        if name not in CHANGEABLE:
            known = [PREFIX + name for name in CHANGEABLE]
            raise UserError(
                f"{key}: cannot be changed after the training{nearest(key, known)}; there is "
                f"{', '.join(known)}."
            )
        expected = bool if name == "sort" else str
        if not isinstance(value, expected) and not (value is None and name in NULLABLE):
            kind = "true or false" if name == "sort" else "a text"
            raise UserError(f"{key}: must be {kind}, got {value!r}.")
        changes[name] = value
    too_short = changes.pop("too_short", TOO_SHORT[0])
    if too_short not in TOO_SHORT:
        raise UserError(f"data.too_short={too_short}: there is {' and '.join(TOO_SHORT)}.")
    if "columns.unique_id" in changes:
        changes["columns"] = {**form.columns, "unique_id": changes.pop("columns.unique_id")}
    return Reading(replace(form, **changes), too_short)


@contextmanager
def advice_for(example: str) -> Iterator[None]:
    """Adds to errors how the setting that they advise is given to a trained run.

    Args:
        example: How, with `KEY` for its key, such as `--set KEY=VALUE`.
    """
    try:
        yield
    except UserError as error:
        if (advised := _KEY.search(str(error))) is None:
            raise
        way = example.replace("KEY", advised[0])
        raise UserError(f"{error} Here, it is given as {way}.") from error


def long_enough(
    task: Forecasting, records: Sequence[Mapping[str, Any]], too_short: str
) -> list[Any]:
    """Returns the series with enough steps to forecast from; logs which are left out.

    Raises:
        UserError: If none has enough, or one has not and `too_short` is `refuse`.
    """
    short = [
        place_of(record, number)
        for number, record in enumerate(records, start=1)
        if record["start"] < task.minimum_context
    ]
    if not short or len(records) == 1:
        return list(records)  # the message about a single one says its name and steps
    message = (
        f"{len(short)} of {len(records)} series are too short{{}} ({first_places(short)}): a "
        f"forecast needs {task.minimum_context} steps of history (task.minimum_context)"
    )
    if len(short) == len(records):
        raise UserError(message.format("") + ".")
    if too_short == "refuse":
        raise UserError(message.format("") + "; data.too_short=leave_out leaves them out.")
    log.warning("%s.", message.format(" and left out"))
    return [record for record in records if record["start"] >= task.minimum_context]


def with_types_of(
    history: "pd.DataFrame", forecasts: "pd.DataFrame", form: SeriesFormat
) -> "pd.DataFrame":
    """Returns forecasts whose names of series and dates have the types of the history's.

    So the forecasts can be merged with actual values.
    """
    if any(name is not None for name in history.index.names):
        history = history.reset_index()
    for field, converted in (("unique_id", _names_like), ("ds", _dates_like)):
        column = form.columns[field]
        if column in history.columns and column in forecasts.columns:
            forecasts[column] = converted(forecasts[column], history[column])
    return forecasts


def _names_like(names: "pd.Series", given: "pd.Series") -> "pd.Series":
    """Returns names of series as they were before they became texts."""
    by_text = {str(value): value for value in given.unique()}
    return names.map(by_text).astype(given.dtype)


def _dates_like(dates: "pd.Series", given: "pd.Series") -> "pd.Series":
    """Returns dates in ISO 8601 with the type of the given ones; texts and steps as they are."""
    import pandas as pd

    first = given.iloc[0]
    is_period = isinstance(given.dtype, pd.PeriodDtype)
    is_object = given.dtype == object and isinstance(first, datetime.date)
    if not (is_period or is_object or pd.api.types.is_datetime64_any_dtype(given.dtype)):
        return dates
    parsed = pd.to_datetime(dates, format="ISO8601")
    if is_period:
        return parsed.dt.to_period(first.freq)
    if is_object:
        return (parsed if isinstance(first, datetime.datetime) else parsed.dt.date).astype(object)
    if first.tzinfo is not None:
        standard = [False] * len(parsed)  # of the hour that a clock shows twice
        parsed = parsed.dt.tz_localize(
            first.tzinfo, ambiguous=standard, nonexistent="shift_forward"
        )
    return parsed.astype(given.dtype)
