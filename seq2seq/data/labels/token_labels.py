"""The labels of tokens as ids, converted between span schemes."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.data.labels.span_schemes import allowed_transitions, check_scheme, converted
from seq2seq.errors import UserError

UNSEEN = -1
"""The id of a label that does not occur in training."""


class TokenLabels:
    """Maps labels of the data's scheme to ids of the model's scheme, and back.

    Args:
        scheme: The scheme of the data: `IOB1`, `IOB2`, `BIOES`, or `None` for labels that stand for
            single tokens, such as parts of speech.
        train_scheme: The scheme that the model learns; `None` for that of the data.

    Raises:
        ValueError: If there is no such scheme, or only `train_scheme` is given.
    """

    def __init__(self, scheme: str | None = None, train_scheme: str | None = None) -> None:
        check_scheme("scheme", scheme)
        check_scheme("train_scheme", train_scheme)
        if train_scheme is not None and scheme is None:
            raise ValueError("train_scheme: needs scheme, that of the data")
        self.scheme, self.train_scheme = scheme, train_scheme or scheme
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def use(self, counts: Counter[str]) -> None:
        """Assigns ids to labels of `train_scheme`, the most frequent first."""
        self._use(sorted(counts, key=lambda label: (-counts[label], label)))

    def _use(self, names: list[str]) -> None:
        self.names = names
        self._numbers = {name: number for number, name in enumerate(names)}

    def trained(self, labels: Sequence[str]) -> list[str]:
        """Returns labels of the data in `train_scheme`; raises ValueError if one is not valid."""
        return converted(labels, self.scheme, self.train_scheme)

    def __contains__(self, label: str) -> bool:
        """Returns whether a label of `train_scheme` occurs in training."""
        return label in self._numbers

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the ids of the labels of each sentence, `UNSEEN` for unknown ones."""
        return [
            np.array([self._numbers.get(label, UNSEEN) for label in self.trained(labels)], np.int32)
            for labels in values
        ]

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """Returns a sentence's labels in the scheme of the data."""
        labels = [self.names[number] for number in numbers]
        if self.train_scheme == self.scheme:
            return labels
        return converted(labels, self.train_scheme, self.scheme)

    @property
    def allowed(self) -> list[list[bool]] | None:
        """Which label may follow which, see `allowed_transitions`; `None` without a scheme."""
        return allowed_transitions(self.names, self.train_scheme) if self.scheme else None

    @property
    def fingerprint(self) -> str:
        """A hash of the schemes and the labels, in hexadecimal."""
        content = json.dumps([self.scheme, self.train_scheme, self.names])
        return hashlib.sha256(content.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes the labels as JSON."""
        path.write_text(json.dumps(self.names, ensure_ascii=False), encoding="utf-8")

    def load(self, path: Path) -> None:
        """Reads what `save` wrote.

        Raises:
            UserError: If the file is missing or damaged.
        """
        try:
            names = parsed_json(path.read_text(encoding="utf-8"))
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("not a list of texts")
            if not names or len(set(names)) < len(names):
                raise ValueError("no label, or one of them twice")
            self._use(names)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}.") from error
