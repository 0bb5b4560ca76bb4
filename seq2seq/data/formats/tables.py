"""Reads tables: TSV files without quoting, and CSV files, whose values may be quoted."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seq2seq.data.formats.base import FileDataset, FileNames
from seq2seq.data.formats.several_targets import FurtherTargets, SeveralTargets
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

csv.field_size_limit(2**31 - 1)  # instead of the default, 131,072 characters


class Tsv(SeveralTargets):
    r"""Reads files with one record per line and its fields in columns, such as Tatoeba's `fra.txt`.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field, counted from 0; other columns are ignored.
        delimiter: The text between two columns. There is no quoting.
        holdout: Takes further splits out of `train`.
        further_targets: What further correct targets of a source, in the columns after that of the
            target, are for: `evaluate` scores predictions against any of them, `train` also learns
            from each; `ignore` reads no such columns.

    Example:
        >>> dataset = Tsv("tatoeba", {"train": "fra.txt"}, {"source": 0, "target": 1})
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        columns: Mapping[str, int],
        delimiter: str = "\t",
        holdout: Holdout | None = None,
        further_targets: FurtherTargets = "ignore",
    ) -> None:
        self._columns, self._delimiter = dict(columns), delimiter
        if not delimiter:
            raise UserError("data.delimiter is empty.")
        if not columns or min(columns.values()) < 0:
            raise UserError(
                f"data.columns={self._columns}: name at least one column; they count from 0."
            )
        if further_targets != "ignore" and columns.get("target") != max(columns.values()):
            raise UserError(
                f"data.further_targets={further_targets}: data.columns needs a target, as the last "
                f"column of {self._columns}; the columns after it are its further targets."
            )
        super().__init__(directory, files, holdout, further_targets)

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        for number, line in enumerate(read_lines(path), start=1):
            values = line.split(self._delimiter)
            record = _record(f"{path}:{number}", values, self._columns, self._delimiter)
            if self._further_targets != "ignore":
                self._add_references(record, values[self._columns["target"] :])
            yield record

    def _settings(self) -> list[str]:
        return [str(self._columns), self._delimiter, *super()._settings()]


class Csv(FileDataset):
    """Reads tables with or without a header, whose values may be quoted.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field: its name in the header, or its number, from 0.
        delimiter: The character between two columns.
        header: Whether the first line names the columns.
        quoting: Whether a value in `"` may hold delimiters and line breaks.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = Csv("ag_news", {"train": "train.csv"}, {"text": "content", "label": 0})
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        columns: Mapping[str, str | int],
        delimiter: str = ",",
        header: bool = True,
        quoting: bool = True,
        holdout: Holdout | None = None,
    ) -> None:
        super().__init__(directory, files, holdout)
        if len(delimiter) != 1:
            raise UserError(f"data.delimiter={delimiter!r}: must be one character.")
        for field, column in columns.items():
            if isinstance(column, str) and not header:
                raise UserError(
                    f"data.columns.{field}={column}: a column has a name only with "
                    "data.header=true; without it, give its number, from 0."
                )
            if isinstance(column, int) and column < 0:
                raise UserError(f"data.columns.{field}={column}: columns count from 0.")
        self._columns = dict(columns)
        self._delimiter, self._header, self._quoting = delimiter, header, quoting

    def _settings(self) -> list[str]:
        return [f"{self._columns} {self._delimiter!r} {self._header} {self._quoting}"]

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        rows = self._rows(path)
        header: list[str] = next(rows, ("", []))[1] if self._header else []
        columns = {
            field: self._column_number(field, column, header, path)
            for field, column in self._columns.items()
        }
        for place, values in rows:
            yield _record(place, values, columns, self._delimiter)

    def column_names(self, path: Path) -> list[str]:
        """Returns the names of a file's columns; none if it is empty or has no header."""
        return next(self._rows(path), ("", []))[1] if self._header else []

    def _rows(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Yields the place and the values of each row that is not blank."""
        reader = csv.reader(
            (line + "\n" for line in read_lines(path)),
            delimiter=self._delimiter,
            quoting=csv.QUOTE_MINIMAL if self._quoting else csv.QUOTE_NONE,
            strict=True,
        )
        first_line = 1
        try:
            for values in reader:
                if values:
                    yield f"{path}:{first_line}", values
                first_line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{path}:{first_line}: cannot be read as CSV ({error}). data.quoting=false takes "
                "quotes as they are."
            ) from None

    def _column_number(self, field: str, column: str | int, header: list[str], path: Path) -> int:
        if isinstance(column, int):
            return column
        if column not in header:
            raise UserError(
                f"data.columns.{field}={column}: {path}:1 has no such column; it has "
                f"{', '.join(header)}."
            )
        return header.index(column)


def _record(
    place: str, values: Sequence[str], columns: Mapping[str, int], delimiter: str
) -> PlacedRecord:
    """Returns columns of a row with its place; raises UserError if the row has too few."""
    count = max(columns.values(), default=0) + 1
    if len(values) < count:
        raise UserError(
            f"{place}: {len(values)} column(s), but data.columns needs {count} "
            f"(data.delimiter={delimiter!r})."
        )
    return PlacedRecord({field: values[column] for field, column in columns.items()}, place)
