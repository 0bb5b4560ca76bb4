"""Near-duplicates: texts that differ in case, punctuation, symbols and white space alone."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seq2seq.data.records import hash64, texts_of

_IGNORED_CATEGORIES = "PSZC"
"""The first letters of the Unicode categories of punctuation, symbols, separators and controls."""


class _Characters(dict[int, int | None]):
    """Each character for `str.translate`; None for those that are ignored."""

    def __missing__(self, code: int) -> int | None:
        is_ignored = unicodedata.category(chr(code))[0] in _IGNORED_CATEGORIES
        self[code] = None if is_ignored else code
        return self[code]


_CHARACTERS = _Characters()


def simplified(text: str) -> str:
    """Returns a text without what near-duplicates differ in; unchanged if nothing remains.

    Example:
        >>> simplified("It's 7 o\u2019clock!"), simplified("?!")
        ('its7oclock', '?!')
    """
    return unicodedata.normalize("NFKC", text).casefold().translate(_CHARACTERS) or text


class InputHashes(NamedTuple):
    """A hash of each record's input, uint64 `(records,)` each."""

    exact: np.ndarray
    simple: np.ndarray
    """Of the simplified texts."""

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], fields: Collection[str]) -> "InputHashes":
        """Hashes the texts of fields; values that are no text, nor a list of texts, are ignored."""
        exact, simple = list[int](), list[int]()
        for record in records:
            texts = [text for field in fields for text in texts_of(record.get(field))]
            if texts:
                exact.append(hash64("\0".join(texts)))
                simple.append(hash64("\0".join(map(simplified, texts))))
        return cls(np.array(exact, np.uint64), np.array(simple, np.uint64))

    @property
    def near_duplicates(self) -> int:
        """How many different inputs are near-duplicates of another one."""
        return len(np.unique(self.exact)) - len(np.unique(self.simple))

    def near_shared(self, others: Sequence["InputHashes"]) -> int:
        """Returns how many inputs others have only as a near-duplicate."""
        if not others:
            return 0
        exact, simple = (np.concatenate(hashes) for hashes in zip(*others, strict=True))
        return int(np.sum(np.isin(self.simple, simple) & ~np.isin(self.exact, exact)))
