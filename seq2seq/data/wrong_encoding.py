"""Texts that were read or written in a wrong encoding (mojibake)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seq2seq.data.records import texts_of

_WRONG = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]"  # no text has them
    "|[ÂÃ][\xa0-\xbfƒŠšŒœŽžŸ]"  # é as Ã©: UTF-8, read as Latin-1 or Windows-1252
    "|â€"  # the same of quotation marks and dashes
)
_AROUND = 12
"""Characters of an example before and after the wrong ones."""


@dataclass(frozen=True)
class WrongEncoding:
    """Characters that a wrong encoding leaves.

    Attributes:
        records: The number of records that have some.
        example: The first of them, and what is around it; empty if there is none.
    """

    records: int
    example: str


def wrong_encoding(records: Iterable[Mapping[str, Any]]) -> WrongEncoding:
    """Counts the records that have such characters in a text or a list of texts.

    They are control characters, U+FFFD (which stands for bytes that could not be read), and UTF-8
    that was read as Latin-1 or Windows-1252.

    Example:
        >>> wrong_encoding([{"source": "a caf\u00e9"}, {"source": "a caf\u00c3\u00a9"}])
        WrongEncoding(records=1, example='a caf\u00c3\u00a9')
    """
    count, example = 0, ""
    for record in records:
        matches = (_WRONG.search(text) for value in record.values() for text in texts_of(value))
        if match := next(filter(None, matches), None):
            count += 1
            example = example or _with_context(match)
    return WrongEncoding(count, example)


def _with_context(match: re.Match[str]) -> str:
    text, (start, end) = match.string, match.span()
    return text[max(start - _AROUND, 0) : end + _AROUND].strip()
