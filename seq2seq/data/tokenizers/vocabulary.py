"""Vocabularies of words, characters or other items."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from seq2seq.data.formats.json_lines import check_unique_texts

UNKNOWN = 1
RESERVED = 2
"""The number of reserved ids: 0 for padding, and 1 for unknown items."""


class Vocabulary:
    """Maps items to ids from 2 on; 0 is padding and 1 is unknown.

    Args:
        items: The items, in the order of their ids.

    Example:
        >>> vocabulary = Vocabulary.of(Counter(["b", "a", "b"]))
        >>> vocabulary.ids(["a", "b", "c"])
        array([3, 2, 1], dtype=int32)
    """

    def __init__(self, items: Iterable[str] = ()) -> None:
        self.items = list(items)
        self._id_of = {item: number for number, item in enumerate(self.items, start=RESERVED)}

    @classmethod
    def of(
        cls, counts: Counter[str], minimum_frequency: int = 1, maximum_size: int | None = None
    ) -> "Vocabulary":
        """Returns the vocabulary of counted items, the most frequent first."""
        counted = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(item for item, count in counted[:maximum_size] if count >= minimum_frequency)

    @classmethod
    def from_json(cls, items: list[str]) -> "Vocabulary":
        """Returns the vocabulary of items from a file; raises ValueError if they cannot be one."""
        check_unique_texts(items)
        return cls(items)

    def __len__(self) -> int:
        """Returns the number of ids, including the reserved ones."""
        return RESERVED + len(self.items)

    def __contains__(self, item: str) -> bool:
        return item in self._id_of

    def ids(self, items: Sequence[str]) -> np.ndarray:
        """Returns the ids of items, int32 `(items,)`."""
        return np.array([self._id_of.get(item, UNKNOWN) for item in items], np.int32)

    def ids_by_item(self) -> dict[str, int]:
        """Returns the id of each item."""
        return dict(self._id_of)
