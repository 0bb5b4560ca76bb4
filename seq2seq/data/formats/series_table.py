"""Reads tables of time series: CSV and Parquet files, and pandas frames."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.data.formats.series_csv import read_cells
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest

_PARQUET_MAGIC = b"PAR1"
FRAME, SERIES = "the DataFrame", "series"
"""What messages call a frame, and the name of its one series."""
_EMPTY = ("", "NA", "N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
"""How pandas, R and databases write that there is no value."""
_FLAGS = {"True": "1", "TRUE": "1", "true": "1", "False": "0", "FALSE": "0", "false": "0"}


@dataclass
class SeriesTable:
    """The rows of files, in the long layout.

    Attributes:
        unique_id: The name of each row's series.
        ds: The date or step of each row as it stands in the file; `None` if there are none.
        values: The other columns that the format names, as they stand in the file.
        names: The names of the files.
        file: The index of each row's file.
        line: The line of each row in its file; negative: the number of the row, in Parquet.
    """

    unique_id: pd.Series
    ds: pd.Series | None
    values: pd.DataFrame
    names: list[str]
    file: np.ndarray
    line: np.ndarray

    def __len__(self) -> int:
        return len(self.file)

    def place(self, row: int) -> str:
        """Returns the place of a row, such as `sales.csv:7`."""
        name, line = self.names[self.file[row]], self.line[row]
        return f"{name}:{line}" if line >= 0 else f"{name}, row {-line}"

    def numbers(self, column: str) -> np.ndarray:
        """Returns a column as float64, NaN where it is empty.

        Raises:
            UserError: If a value is no number or not finite.
        """
        raw = self.values[column]
        if pd.api.types.is_numeric_dtype(raw.dtype):
            values = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = self._parsed(column, raw)
        if (bad := np.isinf(values)).any():
            raise self._no_number(column, int(bad.argmax()), "is not finite")
        return values

    def _parsed(self, column: str, raw: pd.Series) -> np.ndarray:
        """Returns the numbers of texts, exactly as Python parses them."""
        texts = raw.astype(object).to_numpy(copy=True)
        texts[raw.isin(_EMPTY).to_numpy() | raw.isna().to_numpy()] = np.nan
        try:
            if "_" not in "".join(map(str, texts)):  # which Python would ignore
                return texts.astype(np.float64)
        except (ValueError, TypeError):
            pass  # some text is no number, or is a flag, or blank
        values = np.full(len(texts), np.nan)
        for row, text in enumerate(texts):
            stripped = str(text).strip()
            if stripped in _EMPTY:
                continue
            try:
                if "_" in stripped:
                    raise ValueError
                values[row] = float(_FLAGS.get(stripped, stripped))
            except ValueError:
                raise self._no_number(column, row, "is no number") from None
        return values

    def _no_number(self, column: str, row: int, fault: str) -> UserError:
        value = shown(self.values[column].iloc[row])
        return UserError(
            f"{self.place(row)}: {value} in the column {column!r} {fault} (series "
            f"{self.unique_id.iloc[row]!r}). Numbers have a decimal point and no separators."
        )


def shown(value: Any) -> str:
    """Returns a value as messages show it: numbers without the name of their type."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def is_text(column: pd.Series) -> bool:
    """Returns whether a column holds texts or other objects, rather than numbers or dates."""
    return not (
        pd.api.types.is_numeric_dtype(column.dtype)
        or pd.api.types.is_datetime64_any_dtype(column.dtype)
    )


def is_empty(column: pd.Series) -> np.ndarray:
    """Returns where a column of texts, numbers or dates has no value."""
    empty = column.isna().to_numpy()
    return empty | column.isin(_EMPTY[:1]).to_numpy() if is_text(column) else empty


def read_table(
    source: Path | bytes | pd.DataFrame, form: SeriesFormat, name: str | None = None
) -> SeriesTable:
    """Reads a file, the bytes of one, or a frame.

    Args:
        source: The path of a CSV file (gzip works) or Parquet file, its bytes, or a frame.
        form: The columns to read.
        name: The name of bytes or a frame in messages.

    Raises:
        UserError: If it cannot be read, is empty, or lacks a column.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, form, name or FRAME)
    name = name or (str(source) if isinstance(source, Path) else "stdin")
    if _is_parquet(source):
        return _from_frame(_read_parquet(source, name), form, name)
    # Where rows are steps, a row of empty values is one, too.
    keep_empty = form.columns["ds"] is None
    header, cells, numbers = read_cells(source, name, form.delimiter, keep_empty)
    used = {column: header.index(column) for column in _used_columns(header, form, name)}
    columns = {column: pd.Series(cells[:, j], dtype=object) for column, j in used.items()}
    return _table(columns, form, name, numbers)


def joined(tables: Sequence[SeriesTable]) -> SeriesTable:
    """Returns the rows of several tables as one."""
    if len(tables) == 1:
        return tables[0]
    ds = [table.ds for table in tables if table.ds is not None]
    return SeriesTable(
        pd.concat([table.unique_id for table in tables], ignore_index=True),
        pd.concat([column.astype(object) for column in ds], ignore_index=True) if ds else None,
        pd.concat([table.values for table in tables], ignore_index=True),
        [table.names[0] for table in tables],
        np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
        np.concatenate([table.line for table in tables]),
    )


def _is_parquet(source: Path | bytes) -> bool:
    if isinstance(source, bytes):
        return source.startswith(_PARQUET_MAGIC)
    return source.suffix in (".parquet", ".pq")


def _read_parquet(source: Path | bytes, name: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: cannot be read as Parquet ({reason}).") from None


def _used_columns(header: Sequence[str], form: SeriesFormat, name: str) -> list[str]:
    """Returns the columns to read; raises UserError if one is missing or ambiguous."""
    unique_id, ds = form.columns["unique_id"], form.columns["ds"]
    needed = [] if ds is None else [("data.columns.ds", ds)]
    if form.layout == "long":
        # Without a column of the usual name, the file is one series.
        similar = [column for column in header if column.lower() == str(unique_id).lower()]
        if unique_id is not None and (unique_id != "unique_id" or similar):
            needed.append(("data.columns.unique_id", unique_id))
        for role in ("targets", "known", "past", "static"):
            needed += [(f"task.{role}", column) for column in getattr(form, role)]
    for key, column in needed:
        if column not in header:
            hint = f" Is data.delimiter={form.delimiter!r} right?" if len(header) == 1 else ""
            raise UserError(
                f"{key}: {name} has no column {column!r}{nearest(column, header)}; it has "
                f"{', '.join(header)}.{hint}"
            )
    used = list(header) if form.layout == "wide" else [column for _, column in needed]
    for column in used:
        if header.count(column) > 1:
            raise UserError(f"{name} has {header.count(column)} columns named {column!r}.")
        if not column:
            raise UserError(
                f"{name}: a column has no name, such as the index that pandas writes; remove it "
                "(to_csv(index=False)), or name it."
            )
    if form.layout == "wide" and set(used) <= {ds}:
        raise UserError(f"{name} has no column besides {ds!r}; data.layout=wide needs series.")
    return used


def _from_frame(frame: pd.DataFrame, form: SeriesFormat, name: str) -> SeriesTable:
    if any(index is not None for index in frame.index.names):
        frame = frame.reset_index()
    header = [str(column) for column in frame.columns]
    used = _used_columns(header, form, name)
    if frame.empty:
        raise UserError(f"{name} has no rows.")
    columns = {column: frame.iloc[:, header.index(column)] for column in used}
    columns = {column: values.reset_index(drop=True) for column, values in columns.items()}
    return _table(columns, form, name, -np.arange(1, len(frame) + 1))


def _table(
    columns: dict[str, pd.Series], form: SeriesFormat, name: str, lines: np.ndarray
) -> SeriesTable:
    """Returns the table of a file's columns, in the long layout."""
    ds_column = form.columns["ds"]
    ds: Any = columns.pop(ds_column) if ds_column is not None else None
    if form.layout == "wide":
        count = len(columns)
        unique_id = pd.Series(np.repeat(np.array([*columns], dtype=object), len(lines)))
        values = pd.concat([*columns.values()], ignore_index=True)
        columns = {form.targets[0]: values}
        ds = pd.concat([ds] * count, ignore_index=True) if ds is not None else None
        lines = np.tile(lines, count)
    elif (id_column := form.columns["unique_id"]) in columns:
        unique_id = columns.pop(str(id_column))
    else:
        stem = SERIES if name == FRAME else Path(Path(name).name.removesuffix(".gz")).stem
        unique_id = pd.Series(np.full(len(lines), stem, dtype=object))
    table = SeriesTable(
        unique_id, ds, pd.DataFrame(columns), [name], np.zeros(len(lines), np.int64), lines
    )
    if (empty := is_empty(unique_id)).any():
        raise UserError(
            f"{table.place(int(empty.argmax()))}: the column {form.columns['unique_id']!r} is "
            "empty; each row needs the name of its series."
        )
    table.unique_id = unique_id.astype(str).astype(object)
    return table
