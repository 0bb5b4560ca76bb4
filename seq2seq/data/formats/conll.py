"""Reads CoNLL and CoNLL-U: one token per line, in columns, and blank lines between sentences."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.data.formats.base import FileDataset, FileNames
from seq2seq.data.formats.text_files import read_lines_with_ends
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord, first_places
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

DOCUMENT_START = "-DOCSTART-"
FILLER = "_"
"""Fills the columns that a line lacks before the predicted one."""

_BLANKS = re.compile(r"[ \t]+")
_CELL = re.compile(r"[^ \t]+")
_INVISIBLE = "\ufeff \t\r\n"
_MAXIMUM_SKIPPED_SHARE = 0.1


class Sentence(NamedTuple):
    """The lines of a sentence, including comments and blank lines around it."""

    lines: list[str]
    """The lines with their ends, unchanged."""
    words: list[int]
    """The indices of the lines that hold a word; empty for blank lines at the end of a file."""
    first_line: int
    """The number of the first line, from 1."""

    @property
    def line(self) -> int:
        """The number of the line of the first word."""
        return self.first_line + (self.words[0] if self.words else 0)


class ColumnError(ValueError):
    """The line with the number `line` has too few columns."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class ColumnFormat:
    """The layout of a file.

    Attributes:
        columns: The column of each field, counted from 0, or from the end by negative numbers.
            `tokens` are the words, `labels` the predicted column.
        delimiter: The text between two columns; `None` for any run of blanks and tabs.
        comment: The beginning of comment lines, outside or inside of a sentence; `None` if there
            are no comments, so that `#` may be a word.
        word_ids: Whether the first column holds the ids of CoNLL-U; ranges (`3-4`, words written as
            one) and empty nodes (`5.1`) are skipped.
        width: The number of columns of the training files, if known: with it, columns counted from
            the end are found in files that lack the last columns.
    """

    columns: Mapping[str, int]
    delimiter: str | None = None
    comment: str | None = None
    word_ids: bool = False
    width: int | None = None

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """Splits lines, with their ends, into sentences that together hold all lines.

        A sentence ends with a blank line, which may hold blanks, tabs or byte order marks.
        """
        sentence: list[str] = []
        words: list[int] = []
        first = number = 1
        for number, line in enumerate(lines, start=1):
            sentence.append(line)
            if self._is_word(line):
                words.append(len(sentence) - 1)
            elif words and not line.strip(_INVISIBLE):
                yield Sentence(sentence, words, first)
                sentence, words, first = [], [], number + 1
        if sentence:
            yield Sentence(sentence, words, first)

    def values(self, sentence: Sentence, fields: Iterable[str]) -> dict[str, list[str]]:
        """Returns columns of a sentence; raises ColumnError if a line has too few of them."""
        rows = [
            (sentence.first_line + index, self._cells(_without_end(sentence.lines[index])))
            for index in sentence.words
        ]
        columns = {field: self.columns[field] for field in fields}
        values = {
            field: [_cell(row, self._position(column, row), field, line) for line, row in rows]
            for field, column in columns.items()
        }
        distinct = set(columns.values())
        for line, row in rows:
            if len({self._position(column, row) for column in distinct}) < len(distinct):
                raise ColumnError(line, f"{len(row)} column(s) cannot hold {', '.join(columns)}")
        return values

    def with_column(self, sentence: Sentence, field: str, values: Iterable[str]) -> str:
        """Returns the lines of a sentence with one column replaced, all else unchanged.

        Lines with too few columns get the missing ones.
        """
        lines = list(sentence.lines)
        for index, value in zip(sentence.words, values, strict=True):
            line = _without_end(lines[index])
            end = lines[index][len(line) :]
            lines[index] = self._replaced(line, self.columns[field], value) + end
        return "".join(lines)

    def width_of(self, sentence: Sentence) -> int:
        """Returns the number of columns in the line of a sentence's first word."""
        return len(self._cells(_without_end(sentence.lines[sentence.words[0]])))

    def _position(self, column: int, row: Sequence[str]) -> int:
        """Returns the position of a column in a row, from 0; negative if the row is too short."""
        return column if column >= 0 else max(len(row), self.width or 0) + column

    def _is_word(self, line: str) -> bool:
        if not line.strip(_INVISIBLE):
            return False
        if self.comment and line.lstrip("\ufeff").startswith(self.comment):
            return False
        first = self._cells(_without_end(line).lstrip("\ufeff"))[0]
        return first.isdecimal() if self.word_ids else first != DOCUMENT_START

    def _cells(self, line: str) -> list[str]:
        if self.delimiter is None:
            return _BLANKS.split(line.strip(" \t"))
        return line.split(self.delimiter)

    def _replaced(self, line: str, column: int, value: str) -> str:
        cells = self._cells(line)
        # In a file of words alone, the last column is that of the words, not one to replace.
        position = column if column >= 0 else max(self._position(column, cells), 1)
        if position >= len(cells):
            fillers = [FILLER] * (position - len(cells))
            separator = self.delimiter or (" " if "\t" not in line else "\t")
            line = line.rstrip(" \t") if self.delimiter is None else line
            return separator.join([line, *fillers, value])
        if self.delimiter is not None:
            cells[position] = value
            return self.delimiter.join(cells)
        start, end = list(_CELL.finditer(line))[position].span()
        return line[:start] + value + line[end:]


CONLLU = ColumnFormat({"tokens": 1, "labels": 3}, delimiter="\t", comment="#", word_ids=True)
"""CoNLL-U, with universal part-of-speech tags as labels."""

WORDS_FIRST = ColumnFormat({"tokens": 0, "labels": -1})
"""Words in the first column, labels in the last one."""

ENDINGS = (".conll", ".conllu")


def is_conll(file_name: str) -> bool:
    """Returns whether a file is CoNLL or CoNLL-U, by its ending."""
    return file_name.removesuffix(".gz").endswith(ENDINGS)


def layout_of(file_name: str, training_layout: ColumnFormat | None) -> ColumnFormat:
    """Returns the layout of a CoNLL file, or of a CoNLL-U file (`.conllu`).

    That of the training files is preferred to the default, if they were of the same kind.
    """
    is_conllu = file_name.removesuffix(".gz").endswith(".conllu")
    if training_layout is not None and training_layout.word_ids == is_conllu:
        return training_layout
    return CONLLU if is_conllu else WORDS_FIRST


class Conll(FileDataset):
    """Reads CoNLL files; skips and reports sentences with a line that has too few columns.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field, see `ColumnFormat` for this and the next four.
        delimiter: The text between two columns; `None` for any run of blanks and tabs.
        comment: The beginning of comment lines, if there are any.
        word_ids: Whether the first column holds the ids of CoNLL-U.
        width: The number of columns.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = Conll("conll2003", {"train": "eng.train"}, {"tokens": 0, "labels": 3})
        >>> next(dataset.records("train"))
        {'tokens': ['EU', 'rejects', ...], 'labels': ['I-ORG', 'O', ...]}
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        columns: Mapping[str, int],
        delimiter: str | None = None,
        comment: str | None = None,
        word_ids: bool = False,
        width: int | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        if "tokens" not in columns:
            raise UserError("data.columns must name the column of the tokens.")
        if delimiter == "":
            raise UserError("data.delimiter is empty; null stands for any run of blanks and tabs.")
        self.format = ColumnFormat(dict(columns), delimiter, comment, word_ids, width)
        super().__init__(directory, files, holdout)

    def measured_format(self, split: str) -> ColumnFormat:
        """Returns the layout with its width, measured at the first word of a split's files."""
        for path in self._paths(split):
            for sentence in self.format.sentences(read_lines_with_ends(path)):
                if sentence.words:
                    return replace(self.format, width=self.format.width_of(sentence))
        return self.format

    def _settings(self) -> list[str]:
        settings = asdict(self.format)
        if settings["width"] is None:
            del settings["width"]
        return [str(settings)]

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the sentences of a file as records, and logs how many were skipped.

        Raises:
            UserError: If the file cannot be read, or more than a tenth of the sentences is skipped.
        """
        count = 0
        skipped: list[ColumnError] = []
        for sentence in self.format.sentences(read_lines_with_ends(path)):
            if not sentence.words:
                continue
            count += 1
            try:
                values: dict[str, Any] = self.format.values(sentence, self.format.columns)
            except ColumnError as error:
                skipped.append(error)
                continue
            yield PlacedRecord(values, f"{path}:{sentence.line}")
        if len(skipped) > _MAXIMUM_SKIPPED_SHARE * count:
            raise UserError(
                f"{path}:{skipped[0].line}: {skipped[0]}; {len(skipped):,} of {count:,} sentences "
                "have such a line. Look at data.columns and data.delimiter."
            )
        if skipped:
            places = first_places([f"{path}:{error.line}" for error in skipped])
            message = "%d sentence(s) skipped, as a line has too few columns: %s"
            log.warning(message, len(skipped), places)


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _cell(row: list[str], column: int, field: str, line: int) -> str:
    if not 0 <= column < len(row):
        raise ColumnError(
            line, f"{len(row)} column(s), but {field} are in column {column} (counted from 0)"
        )
    value = row[column]
    return value.lstrip("\ufeff") if column == 0 and line == 1 else value
