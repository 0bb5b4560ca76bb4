"""Vocabularies of words, characters or other values."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

PADDING, UNKNOWN = range(2)
RESERVED = 2


class Vocabulary:
    """Maps items to ids from 2 on; 0 is padding and 1 is unknown.

    Args:
        items: The items, in the order of their ids.

    Example:
        >>> vocabulary = Vocabulary.of(Counter(["b", "a", "b"]))
        >>> vocabulary.numbers(["a", "b", "c"])
        array([3, 2, 1], dtype=int32)
    """

    def __init__(self, items: Iterable[str] = ()) -> None:
        self.items = list(items)
        self._number = {item: number for number, item in enumerate(self.items, start=RESERVED)}

    @classmethod
    def of(
        cls, counts: Counter[str], minimum_frequency: int = 1, maximum_size: int | None = None
    ) -> "Vocabulary":
        """Returns the vocabulary of counted items, the most frequent first."""
        counted = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(item for item, count in counted[:maximum_size] if count >= minimum_frequency)

    @classmethod
    def read(cls, items: object) -> "Vocabulary":
        """Returns the vocabulary of a list from a file; raises ValueError if it cannot be one."""
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("a vocabulary is no list of texts")
        if len(set(items)) < len(items):
            raise ValueError("an item stands twice in a vocabulary")
        return cls(items)

    def __len__(self) -> int:
        """Returns the number of ids, including the reserved ones."""
        return RESERVED + len(self.items)

    def __contains__(self, item: str) -> bool:
        return item in self._number

    def numbers(self, items: Sequence[str]) -> np.ndarray:
        """Returns the ids of items, int32 `(items,)`."""
        return np.array([self._number.get(item, UNKNOWN) for item in items], np.int32)
