"""CoNLL and CoNLL-U: a token and its labels a line, in columns; blank lines between sentences."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.data.formats.files import FileDataset, FileNames
from seq2seq.data.formats.text_files import read_whole_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

DOCUMENT_START = "-DOCSTART-"
FILLER = "_"
"""Written to the columns that a line lacks before the predicted one."""

_BLANKS = re.compile(r"[ \t]+")
_NO_BLANKS = re.compile(r"[^ \t]+")
_INVISIBLE = "\ufeff \t\r\n"
_SHOWN_PLACES = 5
_BROKEN_SHARE = 0.1


class Sentence(NamedTuple):
    """The lines of a sentence with their ends, comments and blank lines included."""

    lines: list[str]
    """The lines, unchanged."""
    words: list[int]
    """Which of the lines hold a word; none in what remains at the end of a file."""
    first_line: int
    """The number of the first line, from 1."""

    @property
    def line(self) -> int:
        """The number of the line of the first word."""
        return self.first_line + (self.words[0] if self.words else 0)


class ColumnError(ValueError):
    """A line, whose number is `line`, has too few columns."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class ColumnFormat:
    """The layout of a file.

    Attributes:
        columns: The column of each field, counted from 0, or from the end by negative numbers.
            `tokens` are the words, and `labels` what is predicted.
        delimiter: The text between two columns; `None` for any run of blanks and tabs.
        comment: The beginning of comment lines, outside or inside of a sentence; `None` where there
            are no comments, and `#` may be a word.
        word_ids: Whether the first column holds the ids of CoNLL-U; ranges (`3-4`, words written as
            one) and empty nodes (`5.1`) are skipped.
        width: The number of columns of the training files, if known: columns counted from the end
            keep their place in a file that has fewer columns.
    """

    columns: Mapping[str, int]
    delimiter: str | None = None
    comment: str | None = None
    word_ids: bool = False
    width: int | None = None

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """Splits lines, with their ends, into sentences; no line is dropped.

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
        """Returns the columns of a sentence by field.

        Raises:
            ColumnError: If a line has too few columns.
        """
        rows = [
            (sentence.first_line + index, self._cells(_without_end(sentence.lines[index])))
            for index in sentence.words
        ]
        columns = {field: self.columns[field] for field in fields}
        values = {
            field: [_cell(row, self._place(column, row), field, line) for line, row in rows]
            for field, column in columns.items()
        }
        different = set(columns.values())
        for line, row in rows:
            if len({self._place(column, row) for column in different}) < len(different):
                raise ColumnError(line, f"{len(row)} column(s) cannot hold {', '.join(columns)}")
        return values

    def filled(self, sentence: Sentence, field: str, values: Iterable[str]) -> str:
        """Returns the lines of a sentence with one column replaced, all else unchanged.

        Lines that have too few columns get the missing ones.
        """
        lines = list(sentence.lines)
        for index, value in zip(sentence.words, values, strict=True):
            line = _without_end(lines[index])
            end = lines[index][len(line) :]
            lines[index] = self._replaced(line, self.columns[field], value) + end
        return "".join(lines)

    def measured(self, sentence: Sentence) -> "ColumnFormat":
        """Returns the layout with the width of a sentence."""
        cells = self._cells(_without_end(sentence.lines[sentence.words[0]]))
        return replace(self, width=len(cells))

    def _place(self, column: int, row: Sequence[str]) -> int:
        """Returns the position of a column in a line, from 0; negative where it has none."""
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
        # A file of words alone has no last column to replace.
        place = column if column >= 0 else max(self._place(column, cells), 1)
        if place >= len(cells):
            added = [*([FILLER] * (place - len(cells))), value]
            separator = self.delimiter or (" " if "\t" not in line else "\t")
            return separator.join([line.rstrip(" \t") if self.delimiter is None else line, *added])
        if self.delimiter is not None:
            cells[place] = value
            return self.delimiter.join(cells)
        start, end = list(_NO_BLANKS.finditer(line))[place].span()
        return line[:start] + value + line[end:]


CONLLU = ColumnFormat({"tokens": 1, "labels": 3}, delimiter="\t", comment="#", word_ids=True)
"""CoNLL-U, with universal part-of-speech tags as labels."""

WORDS_FIRST = ColumnFormat({"tokens": 0, "labels": -1})
"""Words in the first column, labels in the last one."""

ENDINGS = (".conll", ".conllu")


def in_columns(file_name: str) -> bool:
    """Returns whether a file is CoNLL or CoNLL-U, by its ending."""
    return file_name.removesuffix(".gz").endswith(ENDINGS)


def layout_of(file_name: str, trained: ColumnFormat | None) -> ColumnFormat:
    """Returns the layout of a file.

    Args:
        file_name: Its name; `.conllu` is CoNLL-U.
        trained: The layout of the run's training files, if they were CoNLL; it wins over the
            defaults for files of the same kind.
    """
    is_conllu = file_name.removesuffix(".gz").endswith(".conllu")
    if trained is not None and trained.word_ids == is_conllu:
        return trained
    return CONLLU if is_conllu else WORDS_FIRST


class Conll(FileDataset):
    """CoNLL files; sentences with a line that has too few columns are skipped and reported.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field, see `ColumnFormat`, as are the next four.
        delimiter: The text between two columns; `None` for any run of blanks and tabs.
        comment: The beginning of comment lines, if there are any.
        word_ids: Whether the first column holds the ids of CoNLL-U.
        width: The number of columns.
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

    def _settings(self) -> list[str]:
        settings = asdict(self.format)
        if settings["width"] is None:
            del settings["width"]
        return [str(settings)]

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the sentences of a file as records, and logs how many were skipped.

        Raises:
            UserError: If the file cannot be read, or more than a tenth of its sentences is broken.
        """
        count = 0
        broken: list[ColumnError] = []
        for sentence in self.format.sentences(read_whole_lines(path)):
            if not sentence.words:
                continue
            count += 1
            try:
                values: dict[str, Any] = self.format.values(sentence, self.format.columns)
            except ColumnError as error:
                broken.append(error)
                continue
            yield PlacedRecord(values, f"{path}:{sentence.line}")
        if len(broken) > _BROKEN_SHARE * count:
            raise UserError(
                f"{path}:{broken[0].line}: {broken[0]}; so it is in {len(broken):,} of {count:,} "
                "sentences. Look at data.columns and data.delimiter."
            )
        if broken:
            places = ", ".join(f"{path}:{error.line}" for error in broken[:_SHOWN_PLACES])
            more = ", ..." if len(broken) > _SHOWN_PLACES else ""
            log.warning(
                "%d sentence(s) left out, as a line has too few columns: %s%s",
                len(broken), places, more,
            )  # fmt: skip


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _cell(row: list[str], column: int, field: str, line: int) -> str:
    if not 0 <= column < len(row):
        raise ColumnError(
            line, f"{len(row)} column(s), but {field} stand in column {column} (counted from 0)"
        )
    value = row[column]
    return value.lstrip("\ufeff") if column == 0 and line == 1 else value
