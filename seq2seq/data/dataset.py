"""The base class of all datasets: named splits of records."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from seq2seq.data.holdout import Holdout
from seq2seq.data.records import Record
from seq2seq.errors import UserError

SPLITS = ("train", "validation", "test")
"""The splits that a run needs."""


class Dataset(ABC):
    """Named splits of records; some of them may be held out from the split `train`.

    The configuration decides which fields a record has; the task knows them.

    Args:
        stored_splits: The splits that the data have.
        holdout: Takes further splits out of `train`.

    Raises:
        UserError: If a split is both stored and held out, or there is no `train` to take from.
    """

    split_keys: ClassVar[tuple[str, ...]] = ()
    """The config keys, below `data`, that name the files or parts of each split."""
    has_alignments: bool = False
    """Whether the training records have the field `alignment`, see `word_alignments`."""

    def __init__(self, stored_splits: Iterable[str], holdout: Holdout | None = None) -> None:
        self._stored_splits = tuple(stored_splits)
        holdout = holdout.without(self._stored_splits) if holdout else None
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
        """Yields the records of a split, always in the same order.

        Raises:
            UserError: If there is no such split, it is empty, or its data are faulty.
        """
        stored = self._stored_split(split)
        records = self._read(stored)
        if self._holdout and stored == "train":
            split_of = self._holdout.split_of
            records = (record for record in records if split_of(record) == split)
        return self._not_empty(split, records)

    def fingerprint(self, split: str) -> str:
        """Returns a hash, in hexadecimal, of everything that determines the records of a split."""
        stored = self._stored_split(split)
        parts = [type(self).__name__, *self._content(stored)]
        if self._holdout and stored == "train":
            parts += [split, self._holdout.describe()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Returns the dataset's `name` and `source` for tracking."""

    def remarks(self) -> list[str]:
        """Returns what was done about the data, a sentence each, for a report before training."""
        return []

    @abstractmethod
    def _read(self, split: str) -> Iterator[Record]:
        """Yields the records of a stored split."""

    @abstractmethod
    def _content(self, split: str) -> list[str]:
        """Returns everything that determines the records of a stored split."""

    def _stored_split(self, split: str) -> str:
        if split not in self.split_names:
            raise UserError(
                f"There is no split {split!r}; this dataset has {', '.join(self.split_names)}."
                f"{self._advice(split)}"
            )
        return split if split in self._stored_splits else "train"

    def _advice(self, split: str) -> str:
        """Returns a sentence that says how a missing split can be configured."""
        if not self.split_keys:
            return ""
        keys = " and ".join(f"data.{key}.{split}" for key in self.split_keys)
        if "train" not in self._stored_splits:
            return f" Give {keys}."
        return f" Give {keys}, or take it from train by data.holdout.fractions.{split}=0.05."

    def _not_empty(self, split: str, records: Iterator[Record]) -> Iterator[Record]:
        first = next(records, None)
        if first is None:
            raise UserError(f"The split {split} of {self.describe()['name']} has no records.")
        yield first
        yield from records
