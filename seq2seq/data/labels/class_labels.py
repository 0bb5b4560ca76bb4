"""The labels of classified texts as class ids."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import check_unique_texts, open_model_file
from seq2seq.data.records import field_value, first_places, place_of
from seq2seq.errors import UserError

log = logging.getLogger(__name__)


class ClassLabels:
    """Maps labels to class ids, counted from 0 in the order of their names.

    A record's label is a text or a number; with `several`, a list of them, or one text with a
    delimiter between them.

    Args:
        renamed: Other names for labels, such as `{0: "negative"}`.
        several: Whether a record may have any number of labels (multi-label classification).
        delimiter: The text between two labels of a record; no label may contain it.

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
        self._id_of: dict[str, int] = {}

    def fit(self, records: Iterable[Mapping[str, Any]], field: str) -> "ClassLabels":
        """Learns the classes, and returns itself; logs classes with only one example.

        Raises:
            UserError: If there are fewer than two classes, a record lacks the field, has more
                labels than it may, or a label that is not in `renamed` or contains the delimiter.
        """
        counts: Counter[str] = Counter()
        places: dict[str, str] = {}
        for name, place in self._names_with_places(records, field):
            counts[name] += 1
            places.setdefault(name, place)
        if len(counts) < 2:
            raise UserError(
                f"The training records have {len(counts)} class(es) ({', '.join(counts)}); at "
                f"least 2 are needed. Look at what is read as the field {field!r}."
            )
        single = sorted(name for name, count in counts.items() if count == 1)
        if single:
            examples = first_places([f"{name!r} ({places[name]})" for name in single])
            log.warning("%d class(es) with one training example: %s", len(single), examples)
        self._set_classes(sorted(counts), [counts[name] for name in sorted(counts)])
        return self

    def check(self, records: Iterable[Mapping[str, Any]], field: str) -> None:
        """Raises UserError if validation or test records have a label that is not in `renamed`."""
        if self.renamed:
            for _ in self._names_with_places(records, field):
                pass

    def _names_with_places(
        self, records: Iterable[Mapping[str, Any]], field: str
    ) -> Iterator[tuple[str, str]]:
        for number, record in enumerate(records, start=1):
            place = place_of(record, number)
            value = field_value(record, field, f"{place}: the label")
            for name in self._checked_names(value, place):
                yield name, place

    def _checked_names(self, value: Any, place: str) -> list[str]:
        names = self.names_of(value)
        for name in names:
            if self.renamed and name not in self._all_names:
                renamed = ", ".join(f"{label}: {new}" for label, new in self.renamed.items())
                raise UserError(
                    f"{place}: the label {name!r} is none of task.label_names ({renamed}). Add it "
                    "there, or use the labels unchanged: task.label_names=null."
                )
            if self.several and self.delimiter in name:
                raise UserError(
                    f"{place}: the label {name!r} holds {self.delimiter!r}, which separates the "
                    "labels of a prediction. Give another one: task.label_delimiter='\"|\"'."
                )
        if len(names) > 1 and not self.several:
            raise UserError(
                f"{place}: {len(names)} labels ({', '.join(names)}), where one is expected; "
                "task.multi_label=true allows several."
            )
        return names

    def _set_classes(self, names: list[str], counts: list[int]) -> None:
        self.names, self.counts = names, counts
        self._id_of = {name: number for number, name in enumerate(names)}

    def names_of(self, value: Any) -> list[str]:
        """Returns the names of a record's labels; an empty list for an empty value."""
        if value is None:
            labels = []
        elif isinstance(value, list | tuple):
            labels = [str(item).strip() for item in value]
        else:
            texts = str(value).split(self.delimiter) if self.several else [str(value)]
            labels = [text.strip() for text in texts]
        return [self.renamed.get(label, label) for label in labels if label]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids, in hexadecimal."""
        return hashlib.sha256(self._to_json().encode()).hexdigest()

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns the class ids of each record's labels, ascending, int32 `(labels,)`.

        The array is empty if there is no label, or one that does not occur in training; with
        `several`, that of a record without labels is `[-1]`.
        """
        return [np.array(self._encode(self.names_of(value)), np.int32) for value in values]

    def _encode(self, names: list[str]) -> list[int]:
        if self.unseen(names) or (len(names) > 1 and not self.several):
            return []
        if not names and self.several:
            return [-1]
        return self.ids(names)

    def ids(self, names: Iterable[str]) -> list[int]:
        """Returns the class ids of names that occur in training, ascending, each once."""
        return sorted({self._id_of[name] for name in names})

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Returns the names that do not occur in training."""
        return [name for name in names if name not in self._id_of]

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
        """Reads what `save` wrote; raises UserError if the file is missing or damaged."""
        with open_model_file(path, "list of labels") as content:
            labels = cls(content["renamed"], content["several"], content["delimiter"])
            if not isinstance(labels.delimiter, str) or not isinstance(labels.several, bool):
                raise ValueError("delimiter or several is of another type")
            names, counts = content["names"], content["counts"]
            check_unique_texts(names)
            if len(names) < 2 or len(counts) != len(names):
                raise ValueError("at least 2 names, each with a count, are needed")
            labels._set_classes(names, [int(count) for count in counts])
        return labels
