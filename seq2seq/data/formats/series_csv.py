"""Reads the cells of CSV files of millions of rows."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seq2seq.data.formats.text_files import read_lines
from seq2seq.errors import UserError


def read_cells(
    source: Path | bytes, name: str, delimiter: str, keep_empty: bool
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reads a CSV file with a header, whose values may be quoted.

    Args:
        source: Its path (gzip works), or its bytes.
        name: Its name in messages.
        delimiter: The character between two columns.
        keep_empty: Whether rows of empty values are kept; blank lines are not.

    Returns:
        The header, the cells, texts `(rows, columns)`, and the line of each row.

    Raises:
        UserError: If it cannot be read, rows differ in their columns, or there are none.
    """
    lines = list(read_lines(source) if isinstance(source, Path) else _lines_of(source, name))
    if _is_plain(lines, delimiter):
        header = lines[0].split(delimiter)
        cells = delimiter.join(lines[1:]).split(delimiter)
        numbers = np.arange(2, len(lines) + 1)
    else:
        header, cells, numbers = _parse_csv(lines, delimiter, name)
    table = np.array(cells, dtype=object).reshape(len(numbers), len(header))
    keep = np.ones(len(numbers), bool) if keep_empty else (table != "").any(axis=1)
    if not keep.any():
        raise UserError(f"{name} has no rows{' below its header' if header else ''}.")
    return [column.strip() for column in header], table[keep], numbers[keep]


def _lines_of(content: bytes, name: str) -> Iterator[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}:{line}: invalid UTF-8 ({error.reason}).") from None
    return (line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


def _is_plain(lines: list[str], delimiter: str) -> bool:
    """Returns whether all lines have equally many columns, and no quotes: splitting is faster."""
    count = lines[0].count(delimiter) if lines else 0
    return len(lines) > 1 and all(
        line and '"' not in line and line.count(delimiter) == count for line in lines
    )


def _parse_csv(
    lines: list[str], delimiter: str, name: str
) -> tuple[list[str], list[str], np.ndarray]:
    """Returns the header, all cells, and the line that each row begins at."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    cells, numbers = list[str](), list[int]()
    try:
        header = next(reader, [])
        number = reader.line_num + 1
        for row in reader:
            if len(row) == len(header):
                cells.extend(row)
                numbers.append(number)
            elif row:
                raise UserError(
                    f"{name}:{number}: {len(row)} column(s), but the header has {len(header)} "
                    f"(data.delimiter={delimiter!r})."
                )
            number = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{name}:{reader.line_num}: cannot be read as CSV ({error}).") from None
    return header, cells, np.array(numbers, np.int64)
