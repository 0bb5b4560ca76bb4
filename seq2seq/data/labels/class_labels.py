"""The labels of classified texts as class ids."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.data.records import place_of
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

_SHOWN = 5


class ClassLabels:
    """Maps labels to class ids, counted from 0 in the order of their names.

    A record's label is a text or a number; with several labels, a list of them, or one text with a
    delimiter between them.

    Args:
        renamed: Other names for labels, such as `{0: "negative"}`.
        several: Whether a record may have any number of labels (multi-label classification).
        delimiter: The text between several labels; no label holds it.

    Raises:
        UserError: If the delimiter is empty.

    Attributes:
        names: The name of each class.
        counts: How many training records each class has.

    Example:
        >>> labels = ClassLabels({0: "negative", 1: "positive"})
        >>> labels.fit([{"label": "1"}, {"label": "0"}], "label").names
        ['negative', 'positive']
    """

    def __init__(
        self,
        renamed: Mapping[Any, str] | None = None,
        several: bool = False,
        delimiter: str = ",",
    ) -> None:
        self.renamed = {str(label): str(name) for label, name in (renamed or {}).items()}
        self._all_names = frozenset(self.renamed.values())
        self.several, self.delimiter = several, delimiter
        if not delimiter:
            raise UserError("task.label_delimiter is empty.")
        self.names: list[str] = []
        self.counts: list[int] = []
        self._numbers: dict[str, int] = {}

    def fit(self, records: Iterable[Mapping[str, Any]], field: str) -> "ClassLabels":
        """Learns the classes, and returns the labels; warns of classes with one example.

        Raises:
            UserError: If there are fewer than two classes, a record lacks the field, has two labels
                where it may have one, or has one that is none of `renamed`, or holds the delimiter.
        """
        counts: Counter[str] = Counter()
        places: dict[str, str] = {}
        for name, place in self._named(records, field):
            counts[name] += 1
            places.setdefault(name, place)
        if len(counts) < 2:
            raise UserError(
                f"The training records have {len(counts)} class(es) ({', '.join(counts)}); at "
                f"least 2 are needed. Look at what is read as the field {field!r}."
            )
        single = sorted(name for name, count in counts.items() if count == 1)
        if single:
            shown = ", ".join(f"{name!r} ({places[name]})" for name in single[:_SHOWN])
            more = ", ..." if len(single) > _SHOWN else ""
            log.warning("%d class(es) with one training example: %s%s", len(single), shown, more)
        self._use(sorted(counts), [counts[name] for name in sorted(counts)])
        return self

    def check(self, records: Iterable[Mapping[str, Any]], field: str) -> None:
        """Checks the labels of records that are not learned from against the names, if any.

        Raises:
            UserError: If a record lacks the field or has a label that is none of `renamed`.
        """
        if self.renamed:
            for _ in self._named(records, field):
                pass

    def _named(self, records: Iterable[Mapping[str, Any]], field: str) -> Iterator[tuple[str, str]]:
        """Yields the name of each label, with the place of its record."""
        for number, record in enumerate(records, start=1):
            place = place_of(record, number)
            if field not in record:
                raise UserError(
                    f"{place}: there is no field {field!r} for the label; the records have "
                    f"{', '.join(record)}."
                )
            for name in self._checked(record[field], place):
                yield name, place

    def _checked(self, value: Any, place: str) -> list[str]:
        names = self.read(value)
        for name in names:
            if self.renamed and name not in self._all_names:
                known = ", ".join(f"{label}: {each}" for label, each in self.renamed.items())
                raise UserError(
                    f"{place}: the label {name!r} is none of task.label_names ({known}). Name it, "
                    "too, or take the labels as they stand: task.label_names=null."
                )
            if self.several and self.delimiter in name:
                raise UserError(
                    f"{place}: the label {name!r} holds {self.delimiter!r}, which stands between "
                    "the labels of a prediction. Give another: task.label_delimiter='\"|\"'."
                )
        if len(names) > 1 and not self.several:
            raise UserError(
                f"{place}: {len(names)} labels ({', '.join(names)}), where one is expected; "
                "task.multi_label=true takes several."
            )
        return names

    def _use(self, names: list[str], counts: list[int]) -> None:
        self.names, self.counts = names, counts
        self._numbers = {name: number for number, name in enumerate(names)}

    def read(self, value: Any) -> list[str]:
        """Returns the names of a record's labels; an empty list for an empty value."""
        if isinstance(value, list | tuple):
            parts = [str(each) for each in value]
        elif value is None:
            parts = []
        else:
            parts = str(value).split(self.delimiter) if self.several else [str(value)]
        stripped = [part.strip() for part in parts]
        return [self.renamed.get(label, label) for label in stripped if label]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids, in hexadecimal."""
        return hashlib.sha256(self._to_json().encode()).hexdigest()

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns the class ids of each record's labels, ascending.

        Returns:
            One int32 array a record, `(labels,)`: empty where a label does not occur in training,
            or where there is none; with `several`, a record without labels has the one id -1.
        """
        return [np.array(self._numbers_of(self.read(value)), np.int32) for value in values]

    def numbers(self, names: Iterable[str]) -> list[int]:
        """Returns the class ids of names that occur in training, ascending, each once."""
        return sorted({self._numbers[name] for name in names})

    def _numbers_of(self, names: list[str]) -> list[int]:
        if self.unseen(names) or (len(names) > 1 and not self.several):
            return []
        if not names and self.several:
            return [-1]
        return self.numbers(names)

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Returns the names that do not occur in training."""
        return [name for name in names if name not in self._numbers]

    def save(self, path: Path) -> None:
        """Writes the labels as one JSON file."""
        path.write_text(self._to_json(), encoding="utf-8")

    def _to_json(self) -> str:
        content = {
            "names": self.names,
            "counts": self.counts,
            "renamed": self.renamed,
            "several": self.several,
            "delimiter": self.delimiter,
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    @classmethod
    def load(cls, path: Path) -> "ClassLabels":
        """Reads what `save` wrote.

        Raises:
            UserError: If the file is missing or damaged.
        """
        try:
            content = parsed_json(path.read_text(encoding="utf-8"))
            labels = cls(content["renamed"], content["several"], content["delimiter"])
            if not isinstance(labels.delimiter, str) or not isinstance(labels.several, bool):
                raise ValueError("delimiter or several is of another type")
            names, counts = content["names"], content["counts"]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("the names are no list of texts")
            if len(names) < 2 or len(set(names)) < len(names) or len(counts) != len(names):
                raise ValueError("at least 2 different names, each with a count, are needed")
            labels._use(list(names), [int(count) for count in counts])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(f"{path}: cannot be read as labels ({error}).") from error
        return labels
