"""Labelled texts from files: tables, JSON lines, lines that begin with a label, and folders."""

import csv
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from seq2seq.data.datasets import (
    Dataset,
    FileNames,
    Jsonl,
    Tsv,
    describe_directory,
    files_by_split,
)
from seq2seq.data.formats.json_lines import text_at
from seq2seq.data.formats.text_files import content_hash, find_file, read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.placed_record import PlacedRecord
from seq2seq.errors import UserError

csv.field_size_limit(2**31 - 1)  # the library's own is 131,072 characters

# What systems and editors put beside the data; so do all names that begin with a dot.
_NOT_DATA = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found"))
_LABEL = re.compile(r"(\S*)\s*(.*)", re.DOTALL)


class FilesBySplit(Dataset):
    """Splits that are read from one file after the other.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        holdout: Takes further splits out of `train`.
    """

    split_keys: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, directory: str, files: FileNames, holdout: Holdout | None) -> None:
        self._directory = Path(directory).expanduser()
        self._files = files_by_split(files)
        super().__init__(self._files, holdout)

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        return describe_directory(self._directory)

    def _paths(self, split: str) -> list[Path]:
        return [find_file(self._directory, name) for name in self._files[split]]

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        for path in self._paths(split):
            yield from self.read_file(path)

    def _content(self, split: str) -> list[str]:
        return [self._settings(), *map(content_hash, self._paths(split))]

    @abstractmethod
    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""

    @abstractmethod
    def _settings(self) -> str:
        """Returns what decides on the records beside the files."""


class Csv(FilesBySplit):
    """Tables with a header or without, of values that may be quoted.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        columns: The column of each field: its name in the header, or its number, from 0.
        delimiter: The character between two columns.
        header: Whether the first line names the columns.
        quoting: Whether a value may stand in `"`, and then hold delimiters and line breaks.
        holdout: Takes further splits out of `train`.

    Raises:
        UserError: If an argument is impossible.

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
                    f"data.columns.{field}={column}: a column is known by its name only with "
                    "data.header=true; else by its number, from 0."
                )
            if isinstance(column, int) and column < 0:
                raise UserError(f"data.columns.{field}={column}: columns count from 0.")
        self._columns = dict(columns)
        self._delimiter, self._header, self._quoting = delimiter, header, quoting

    def _settings(self) -> str:
        return f"{self._columns} {self._delimiter!r} {self._header} {self._quoting}"

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        rows = self._rows(path)
        names: list[str] = next(rows, ("", []))[1] if self._header else []
        numbers = {
            field: self._number(field, column, names, path)
            for field, column in self._columns.items()
        }
        needed = max(numbers.values(), default=0) + 1
        for place, values in rows:
            if len(values) < needed:
                raise UserError(
                    f"{place}: {len(values)} column(s), but data.columns needs {needed} "
                    f"(data.delimiter={self._delimiter!r})."
                )
            yield PlacedRecord({field: values[n] for field, n in numbers.items()}, place)

    def _rows(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Yields the values of each row that is not blank, with its place."""
        lines = (line + "\n" for line in read_lines(path))
        reader = csv.reader(
            lines,
            delimiter=self._delimiter,
            quoting=csv.QUOTE_MINIMAL if self._quoting else csv.QUOTE_NONE,
            strict=True,
        )
        begun = 1
        try:
            for values in reader:
                if values:
                    yield f"{path}:{begun}", values
                begun = reader.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{path}:{begun}: cannot be read as CSV ({error}). data.quoting=false takes "
                "quotes as they are."
            ) from None

    def _number(self, field: str, column: str | int, names: list[str], path: Path) -> int:
        if isinstance(column, int):
            return column
        if column not in names:
            raise UserError(
                f"data.columns.{field}={column}: {path}:1 has no such column; it has "
                f"{', '.join(names)}."
            )
        return names.index(column)


class LabelLines(FilesBySplit):
    """Lines that begin with their label, as TREC's `NUM:dist How far is it ?`.

    Also lines of fastText, `__label__pos __label__short great !`, whose labels have a prefix; the
    field `label` is then a list. Any white space stands between label and text, such as a tab.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        depth: How many levels of the label are kept, of those that `:` divides; null for all.
        prefix: What each label begins with, such as `__label__`; null where a line's first word
            is its one label.
        holdout: Takes further splits out of `train`.

    Raises:
        UserError: If an argument is impossible.

    Example:
        >>> dataset = LabelLines("trec", {"train": "train_5500.label"}, depth=1)
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        depth: int | None = None,
        prefix: str | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        super().__init__(directory, files, holdout)
        if depth is not None and depth < 1:
            raise UserError(f"data.depth={depth}: must be at least 1, or null.")
        self._depth, self._prefix = depth, prefix

    def _settings(self) -> str:
        return f"{self._depth} {self._prefix!r}"

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        for number, line in enumerate(read_lines(path), start=1):
            if line and not line.isspace():
                place = f"{path}:{number}"
                label, text = self._parted(line)
                if not label or (isinstance(label, list) and "" in label):
                    raise UserError(f"{place}: does not begin with {self._prefix!r} and a label.")
                yield PlacedRecord({"text": text, "label": label}, place)

    def _parted(self, line: str) -> tuple[str | list[str], str]:
        if self._prefix is None:
            label, text = _first_word(line.lstrip())
            return self._kept(label), text
        labels: list[str] = []
        rest = line.lstrip()
        while rest.startswith(self._prefix):
            label, rest = _first_word(rest.removeprefix(self._prefix))
            labels.append(self._kept(label))
        return labels, rest

    def _kept(self, label: str) -> str:
        return label if self._depth is None else ":".join(label.split(":")[: self._depth])


def _first_word(line: str) -> tuple[str, str]:
    """Returns what stands before the first white space, and what stands behind it."""
    matched = _LABEL.match(line)
    return (matched[1], matched[2]) if matched else (line, "")


class LabelFolders(Dataset):
    """A folder a class, and in it a file a text, as `train/pos/0_9.txt`.

    Hidden folders and files, such as `.ipynb_checkpoints`, and `__MACOSX` are passed over.

    Args:
        directory: The folder that holds the folders of the splits.
        folders: The folder of each split; it holds a folder for each class.
        pattern: Which files of a class's folder are read; `**/*.txt` also reads folders inside.
        labels: The classes, where other folders stand beside theirs; null for all folders.
        holdout: Takes further splits out of `train`.

    Raises:
        UserError: If the pattern is impossible.

    Example:
        >>> dataset = LabelFolders("aclImdb", {"train": "train"}, labels=["pos", "neg"])
    """

    split_keys: ClassVar[tuple[str, ...]] = ("folders",)

    def __init__(
        self,
        directory: str,
        folders: Mapping[str, str | None],
        pattern: str = "*.txt",
        labels: list[str] | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        self._directory = Path(directory).expanduser()
        self._folders = {split: name for split, name in folders.items() if name is not None}
        self._pattern, self._labels = pattern, labels
        if not pattern or Path(pattern).is_absolute():
            raise UserError(f"data.pattern={pattern!r}: must be a pattern such as '*.txt'.")
        super().__init__(self._folders, holdout)

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        return describe_directory(self._directory)

    def _paths(self, split: str) -> list[tuple[str, Path]]:
        """Returns the files of a split, each with its class."""
        top = self._directory / self._folders[split]
        if not top.is_dir():
            raise UserError(f"data.folders.{split}: there is no folder {top.absolute()}.")
        try:
            there = sorted(path.name for path in top.iterdir() if path.is_dir())
            names = self._labels
            if names is None:
                names = [name for name in there if not _is_hidden(name)]
            for name in set(names) - set(there):
                raise UserError(
                    f"data.labels: {top.absolute()} has no folder {name!r}; it has "
                    f"{', '.join(there)}."
                )
            return [(name, path) for name in names for path in self._texts(top / name)]
        except OSError as error:
            raise UserError(f"{top}: cannot be read ({error}).") from None

    def _texts(self, folder: Path) -> list[Path]:
        return [
            path
            for path in sorted(folder.glob(self._pattern))
            if path.is_file() and not any(map(_is_hidden, path.relative_to(folder).parts))
        ]

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        for name, path in self._paths(split):
            text = "\n".join(read_lines(path))
            yield PlacedRecord({"text": text, "label": name}, str(path))

    def _content(self, split: str) -> list[str]:
        return [f"{name} {content_hash(path)}" for name, path in self._paths(split)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _NOT_DATA


def labelled_file(path: Path, split: str, fields: Sequence[str]) -> Dataset:
    """Returns one file as a split, by its ending: CSV with a header, JSONL, or columns in order.

    Args:
        path: The file, which ends in `.csv`, `.jsonl` or `.tsv`; gzip works.
        split: The name of the split.
        fields: The fields of its records.

    Raises:
        UserError: If the ending is another.
    """
    files = {split: str(path.absolute())}
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "csv":
        return Csv(".", files, {field: field for field in fields})
    if ending == "jsonl":
        return LabelledJsonl(".", files, {field: field for field in fields})
    if ending == "tsv":
        return Tsv(".", files, {field: number for number, field in enumerate(fields)})
    raise UserError(
        f"{path}: must end in .csv, .jsonl or .tsv, so that its {', '.join(fields)} can be found."
    )


class LabelledJsonl(Jsonl):
    """As `Jsonl`, but a value may also be a number or a list of texts, as labels are."""

    def _value(self, values: dict[str, Any], key: str, place: str, wanted_by: str) -> Any:
        value = values.get(key)
        if isinstance(value, int | float) or (value is None and key in values):
            return value
        if isinstance(value, list):
            items = {str(number): each for number, each in enumerate(value)}
            return [text_at(items, number, f"{place} ({key})", wanted_by) for number in items]
        return text_at(values, key, place, wanted_by)
