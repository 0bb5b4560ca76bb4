"""Sentences in columns: a word a line, a blank line behind each sentence (CoNLL, CoNLL-U)."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.data.datasets import FileNames
from seq2seq.data.formats.labelled_files import FilesBySplit
from seq2seq.data.formats.text_files import read_whole_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.placed_record import PlacedRecord
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

DOCUMENT_START = "-DOCSTART-"
FILLED = "_"
"""What is written to columns that a line has not, before the one that is predicted."""

_BLANKS = re.compile(r"[ \t]+")
_NO_BLANKS = re.compile(r"[^ \t]+")
_INVISIBLE = "\ufeff \t\r\n"
_SHOWN_PLACES = 5
_MOST_BROKEN = 0.1


class Sentence(NamedTuple):
    """Some lines of a file, with their ends: a sentence and what stands around it.

    Attributes:
        lines: The lines, unchanged.
        words: Which of them hold a word; none in what is left at the end of a file.
        first_line: The number of the first, from 1.
    """

    lines: list[str]
    words: list[int]
    first_line: int

    @property
    def line(self) -> int:
        """The number of the line of the first word."""
        return self.first_line + (self.words[0] if self.words else 0)


class ColumnError(ValueError):
    """A line has too few columns.

    Attributes:
        line: Its number.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class ColumnFormat:
    """The layout of a file.

    Attributes:
        columns: The column of each field, counted from 0, or from the end by negative numbers.
            `tokens` are the words, and `labels` what is predicted.
        delimiter: What stands between two columns; `None` for any run of blanks and tabs.
        comment: What a line that is no word begins with, outside or inside of a sentence; `None`
            where there are no comments, and `#` may be a word.
        word_ids: Whether the first column holds the numbers of CoNLL-U, of which ranges (`3-4`,
            words written as one) and those of empty nodes (`5.1`) are passed over.
        width: How many columns the training files have, if known: columns that are counted from
            the end stand there also in a file that has fewer.
    """

    columns: Mapping[str, int]
    delimiter: str | None = None
    comment: str | None = None
    word_ids: bool = False
    width: int | None = None

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """Cuts lines, with their ends, into sentences; none is lost.

        A sentence ends with a blank line, which may hold blanks, tabs or byte order marks.
        """
        kept: list[str] = []
        words: list[int] = []
        first = number = 1
        for number, line in enumerate(lines, start=1):
            kept.append(line)
            if self._is_word(line):
                words.append(len(kept) - 1)
            elif words and not line.strip(_INVISIBLE):
                yield Sentence(kept, words, first)
                kept, words, first = [], [], number + 1
        if kept:
            yield Sentence(kept, words, first)

    def values(self, sentence: Sentence, fields: Iterable[str]) -> dict[str, list[str]]:
        """Returns some columns of a sentence.

        Raises:
            ColumnError: If a line has too few columns.
        """
        rows = [
            (sentence.first_line + index, self._split(_body(sentence.lines[index])))
            for index in sentence.words
        ]
        columns = {field: self.columns[field] for field in fields}
        found = {
            field: [_cell(row, self._place(column, row), field, line) for line, row in rows]
            for field, column in columns.items()
        }
        different = set(columns.values())
        for line, row in rows:
            if len({self._place(column, row) for column in different}) < len(different):
                raise ColumnError(line, f"{len(row)} column(s) cannot hold {', '.join(columns)}")
        return found

    def _place(self, column: int, row: Sequence[str]) -> int:
        """Returns where a column stands in a line, from 0; negative where it cannot."""
        return column if column >= 0 else max(len(row), self.width or 0) + column

    def filled(self, sentence: Sentence, field: str, values: Iterable[str]) -> str:
        """Returns the lines of a sentence with a column replaced, and all else unchanged.

        Lines that have too few columns get the ones missing.
        """
        lines = list(sentence.lines)
        for index, value in zip(sentence.words, values, strict=True):
            body = _body(lines[index])
            lines[index] = (
                self._replaced(body, self.columns[field], value) + lines[index][len(body) :]
            )
        return "".join(lines)

    def measured(self, sentence: Sentence) -> "ColumnFormat":
        """Returns the layout with the width of a sentence."""
        cells = self._split(_body(sentence.lines[sentence.words[0]]))
        return replace(self, width=len(cells))

    def _is_word(self, line: str) -> bool:
        body = line.strip(_INVISIBLE)
        if not body or (self.comment and line.lstrip("\ufeff").startswith(self.comment)):
            return False
        cells = self._split(_body(line).lstrip("\ufeff"))
        if self.word_ids:
            return cells[0].isdecimal()
        return cells[0] != DOCUMENT_START

    def _split(self, body: str) -> list[str]:
        if self.delimiter is None:
            return _BLANKS.split(body.strip(" \t"))
        return body.split(self.delimiter)

    def _replaced(self, body: str, column: int, value: str) -> str:
        cells = self._split(body)
        # A file of words alone has no last column to replace.
        place = column if column >= 0 else max(self._place(column, cells), 1)
        if place >= len(cells):
            added = [*([FILLED] * (place - len(cells))), value]
            separator = self.delimiter or (" " if "\t" not in body else "\t")
            return separator.join([body.rstrip(" \t") if self.delimiter is None else body, *added])
        if self.delimiter is not None:
            cells[place] = value
            return self.delimiter.join(cells)
        start, end = list(_NO_BLANKS.finditer(body))[place].span()
        return body[:start] + value + body[end:]


CONLLU = ColumnFormat({"tokens": 1, "labels": 3}, delimiter="\t", comment="#", word_ids=True)
"""CoNLL-U, with universal part-of-speech tags as labels."""


WORDS_FIRST = ColumnFormat({"tokens": 0, "labels": -1})
"""Words in the first column, and labels in the last one."""

ENDINGS = (".conll", ".conllu")


def in_columns(file_name: str) -> bool:
    """Returns whether a file is one of sentences in columns, by its ending."""
    return file_name.removesuffix(".gz").endswith(ENDINGS)


def layout_of(file_name: str, known: ColumnFormat | None) -> ColumnFormat:
    """Returns the layout of a file.

    Args:
        file_name: Its name, whose ending tells CoNLL-U.
        known: The layout of the files that a run was trained on, if they were in columns.
    """
    is_conllu = file_name.removesuffix(".gz").endswith(".conllu")
    if known is not None and known.word_ids == is_conllu:
        return known
    return CONLLU if is_conllu else WORDS_FIRST


def _body(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _cell(row: list[str], column: int, field: str, line: int) -> str:
    if not 0 <= column < len(row):
        raise ColumnError(
            line, f"{len(row)} column(s), but {field} stand in column {column} (counted from 0)"
        )
    value = row[column]
    return value.lstrip("\ufeff") if column == 0 and line == 1 else value


class Conll(FilesBySplit):
    """Files of sentences in columns; a sentence with too short a line is left out and reported.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field, see `ColumnFormat`.
        delimiter: What stands between two columns; `None` for any run of blanks and tabs.
        comment: What a comment line begins with, if there are any.
        word_ids: Whether the first column holds the ids of CoNLL-U.
        width: How many columns the files have, see `ColumnFormat`.
        holdout: Takes further splits out of `train`.

    Attributes:
        format: The layout, by which predictions are written into files of the same kind.

    Raises:
        UserError: If no column holds the tokens.

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
        """Returns the layout with the width of a split's files, that of their first word.

        Raises:
            UserError: If a file cannot be read.
        """
        for path in self._paths(split):
            for sentence in self.format.sentences(read_whole_lines(path)):
                if sentence.words:
                    return self.format.measured(sentence)
        return self.format

    def _settings(self) -> str:
        settings = asdict(self.format)
        if settings["width"] is None:
            del settings["width"]
        return str(settings)

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the sentences of a file."""
        return read_sentences(path, self.format)


def read_sentences(path: Path, layout: ColumnFormat) -> Iterator[PlacedRecord]:
    """Yields the sentences of a file as records; those with too short a line are left out.

    How many were left out is logged, with the first places.

    Raises:
        UserError: If the file cannot be read, or more than a tenth of its sentences is broken.
    """
    count = 0
    broken: list[ColumnError] = []
    for sentence in layout.sentences(read_whole_lines(path)):
        if not sentence.words:
            continue
        count += 1
        try:
            values: dict[str, Any] = layout.values(sentence, layout.columns)
        except ColumnError as error:
            broken.append(error)
            continue
        yield PlacedRecord(values, f"{path}:{sentence.line}")
    if len(broken) > _MOST_BROKEN * count:
        raise UserError(
            f"{path}:{broken[0].line}: {broken[0]}; so it is in {len(broken):,} of {count:,} "
            "sentences. Look at data.columns and data.delimiter."
        )
    if broken:
        places = ", ".join(f"{path}:{error.line}" for error in broken[:_SHOWN_PLACES])
        more = ", ..." if len(broken) > _SHOWN_PLACES else ""
        log.warning(
            "%d sentence(s) left out, as a line has too few columns: %s%s",
            len(broken),
            places,
            more,
        )
