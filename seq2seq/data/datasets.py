"""Datasets: named splits of records, streamed from files.

A record is a dictionary, such as `{"source": "Run!", "target": "Cours !"}`; its values are texts,
numbers or lists of them. What the fields are called, and how many there are, is decided by the
configuration and known to the task.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from seq2seq.data.formats.json_lines import read_objects, text_at
from seq2seq.data.formats.text_files import content_hash, find_file, read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.placed_record import PlacedRecord
from seq2seq.errors import UserError

Record = dict[str, Any]

# The files of each split: one name, several names, or nothing where there is no such split.
FileNames = Mapping[str, str | Iterable[str] | None]


class Dataset(ABC):
    """Named splits of records; some of them may be held out from the split `train`.

    Attributes:
        split_keys: The config keys, below `data`, that name what each split is read from.
    """

    split_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stored_splits: Iterable[str], holdout: Holdout | None = None) -> None:
        """Names the splits.

        Args:
            stored_splits: The splits that can be read as they are.
            holdout: Takes further splits out of `train`.

        Raises:
            UserError: If a split is both stored and held out, or there is no `train` to take from.
        """
        self._stored_splits = tuple(stored_splits)
        holdout = holdout.beside(self._stored_splits) if holdout else None
        self._holdout = holdout if holdout and holdout.split_names else None
        if self._holdout is None:
            return
        if "train" not in self._stored_splits:
            raise UserError("data.holdout takes records from the split train, which is not given.")
        for name in set(self._stored_splits) & set(self._holdout.split_names):
            raise UserError(
                f"The split {name} is given as data and also in data.holdout.fractions; "
                f"remove one of them (such as by data.holdout.fractions.{name}=null)."
            )

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names that `records` accepts."""
        held_out = self._holdout.split_names if self._holdout else ()
        return (*self._stored_splits, *held_out)

    def records(self, split: str) -> Iterator[Record]:
        """Streams the records of a split, always in the same order.

        Raises:
            UserError: If there is no such split, if it is empty, or if its data are faulty.
        """
        stored = self._stored_split(split)
        records = self._read(stored)
        if self._holdout and stored == "train":
            split_of = self._holdout.split_of
            records = (record for record in records if split_of(record) == split)
        return self._not_empty(split, records)

    def fingerprint(self, split: str) -> str:
        """Returns a hash of all that decides on the records of a split, in hexadecimal.

        Raises:
            UserError: If there is no such split, or its data cannot be found.
        """
        stored = self._stored_split(split)
        parts = [type(self).__name__, *self._content(stored)]
        if self._holdout and stored == "train":
            parts += [split, self._holdout.describe()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""

    @abstractmethod
    def _read(self, split: str) -> Iterator[Record]:
        """Streams the records of a stored split."""

    @abstractmethod
    def _content(self, split: str) -> list[str]:
        """Returns all that decides on the records of a stored split."""

    def _stored_split(self, split: str) -> str:
        if split not in self.split_names:
            raise UserError(
                f"There is no split {split!r}; this dataset has {', '.join(self.split_names)}."
                f"{self._advice(split)}"
            )
        return split if split in self._stored_splits else "train"

    def _advice(self, split: str) -> str:
        """Returns how a split that is missing can be given, as a sentence."""
        if not self.split_keys:
            return ""
        given = " and ".join(f"data.{key}.{split}" for key in self.split_keys)
        if "train" not in self._stored_splits:
            return f" Give {given}."
        return f" Give {given}, or take it from train by data.holdout.fractions.{split}=0.05."

    def _not_empty(self, split: str, records: Iterator[Record]) -> Iterator[Record]:
        first = next(records, None)
        if first is None:
            raise UserError(f"The split {split} of {self.describe()['name']} has no records.")
        yield first
        yield from records


class ParallelText(Dataset):
    """Two text files a split: line N of the one belongs to line N of the other.

    Example:
        >>> dataset = ParallelText(
        ...     "multi30k",
        ...     source={"train": "train.en", "validation": "val.en"},
        ...     target={"train": "train.de", "validation": "val.de"},
        ... )
    """

    split_keys = ("source", "target")

    def __init__(
        self,
        directory: str,
        source: FileNames,
        target: FileNames,
        holdout: Holdout | None = None,
    ) -> None:
        """Names the files; nothing is read yet.

        Args:
            directory: The folder that the file names are relative to.
            source: The file, or files, of the source side by split.
            target: The same for the target side; file N belongs to file N of the source.
            holdout: Takes further splits out of `train`.

        Raises:
            UserError: If the two sides name different splits or different numbers of files.
        """
        self._directory = Path(directory).expanduser()
        self._source = files_by_split(source)
        self._target = files_by_split(target)
        for split in self._source | self._target:
            counts = [len(side.get(split, ())) for side in (self._source, self._target)]
            if counts[0] != counts[1]:
                raise UserError(
                    f"data.source.{split} names {counts[0]} file(s), but data.target.{split} "
                    f"names {counts[1]}: each file needs its counterpart."
                )
        super().__init__(self._source, holdout)

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        return describe_directory(self._directory)

    def _pairs(self, split: str) -> Iterator[tuple[Path, Path]]:
        for source, target in zip(self._source[split], self._target[split], strict=True):
            yield find_file(self._directory, source), find_file(self._directory, target)

    def _read(self, split: str) -> Iterator[Record]:
        for source_path, target_path in list(self._pairs(split)):
            sides = zip_longest(read_lines(source_path), read_lines(target_path))
            for number, (source, target) in enumerate(sides):
                if source is None or target is None:
                    more = number + 1 + sum(1 for _ in sides)
                    counts = (number, more) if source is None else (more, number)
                    raise UserError(
                        f"{source_path} has {counts[0]} lines, but {target_path} has "
                        f"{counts[1]}: line N of the one must belong to line N of the other."
                    )
                yield {"source": source, "target": target}

    def _content(self, split: str) -> list[str]:
        return [content_hash(path) for pair in self._pairs(split) for path in pair]


class Tsv(Dataset):
    r"""Files with one record a line and its fields in columns, as Tatoeba's `fra.txt`.

    Example:
        >>> dataset = Tsv("tatoeba", {"train": "fra.txt"}, {"source": 0, "target": 1})
    """

    split_keys = ("files",)

    def __init__(
        self,
        directory: str,
        files: FileNames,
        columns: Mapping[str, int],
        delimiter: str = "\t",
        holdout: Holdout | None = None,
    ) -> None:
        """Names the files; nothing is read yet.

        Args:
            directory: The folder that the file names are relative to.
            files: The file, or files, of each split.
            columns: The column of each field, counted from 0; other columns are ignored.
            delimiter: What stands between two columns. There is no quoting.
            holdout: Takes further splits out of `train`.

        Raises:
            UserError: If the delimiter is empty, or there is no column, or a negative one.
        """
        self._directory = Path(directory).expanduser()
        self._files = files_by_split(files)
        self._columns = dict(columns)
        self._delimiter = delimiter
        if not delimiter:
            raise UserError("data.delimiter is empty.")
        if not columns or min(columns.values()) < 0:
            raise UserError(
                f"data.columns={self._columns}: name at least one column; they count from 0."
            )
        super().__init__(self._files, holdout)

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        return describe_directory(self._directory)

    def _read(self, split: str) -> Iterator[Record]:
        needed = max(self._columns.values()) + 1
        for path in [find_file(self._directory, name) for name in self._files[split]]:
            for number, line in enumerate(read_lines(path), start=1):
                values = line.split(self._delimiter)
                if len(values) < needed:
                    raise UserError(
                        f"{path}:{number}: {len(values)} column(s), but data.columns needs "
                        f"{needed} (data.delimiter={self._delimiter!r})."
                    )
                fields = {field: values[column] for field, column in self._columns.items()}
                yield PlacedRecord(fields, f"{path}:{number}")

    def _content(self, split: str) -> list[str]:
        paths = [find_file(self._directory, name) for name in self._files[split]]
        return [str(self._columns), self._delimiter, *map(content_hash, paths)]


class Jsonl(Dataset):
    """Files with one JSON object a line; blank lines are ignored.

    Example:
        >>> dataset = Jsonl("books", {"train": "en-fr.jsonl"}, {"source": "en", "target": "fr"})
    """

    split_keys = ("files",)

    def __init__(
        self,
        directory: str,
        files: FileNames,
        fields: Mapping[str, str],
        holdout: Holdout | None = None,
    ) -> None:
        """Names the files; nothing is read yet.

        Args:
            directory: The folder that the file names are relative to.
            files: The file, or files, of each split.
            fields: The JSON key of each field; other keys are ignored.
            holdout: Takes further splits out of `train`.

        Raises:
            UserError: If a split is both given as files and held out.
        """
        self._directory = Path(directory).expanduser()
        self._files = files_by_split(files)
        self._fields = dict(fields)
        super().__init__(self._files, holdout)

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        return describe_directory(self._directory)

    def _read(self, split: str) -> Iterator[Record]:
        for path in [find_file(self._directory, name) for name in self._files[split]]:
            for place, values in read_objects(path):
                fields = {
                    field: self._value(values, key, place, f"data.fields.{field}")
                    for field, key in self._fields.items()
                }
                yield PlacedRecord(fields, place)

    def _value(self, values: dict[str, Any], key: str, place: str, wanted_by: str) -> Any:
        return text_at(values, key, place, wanted_by)

    def _content(self, split: str) -> list[str]:
        paths = [find_file(self._directory, name) for name in self._files[split]]
        return [str(self._fields), *map(content_hash, paths)]


def files_by_split(files: FileNames) -> dict[str, tuple[str, ...]]:
    """Returns the names of each split's files; splits without any are left out."""
    return {
        split: (names,) if isinstance(names, str) else tuple(names)
        for split, names in files.items()
        if names is not None
    }


def describe_directory(directory: Path) -> dict[str, str]:
    """Returns what the tracking shows of data in a folder: `name` and `source`."""
    path = directory.absolute()
    return {"name": "/".join(path.parts[-2:]), "source": str(path)}
