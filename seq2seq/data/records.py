"""Records: dictionaries of field -> text, number or list of them, as datasets yield them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from seq2seq.errors import UserError

SHOWN_PLACES = 5
"""How many places a message names at most."""

Record = dict[str, Any]
Item = TypeVar("Item")


class PlacedRecord(Record):
    """A record with the place that it was read from, such as `train.tsv:7`, for messages."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        super().__init__(values)
        self.place = place


def place_of(record: Mapping[str, Any], number: int) -> str:
    """Returns the place of a record for messages, or its number (from 1) if it has no place."""
    return getattr(record, "place", f"record {number}")


def field_value(record: Mapping[str, Any], field: str, required_by: str) -> Any:
    """Returns a field of a record; raises UserError, naming what requires it, if it is missing."""
    if field not in record:
        fields = ", ".join(record)
        raise UserError(f"{required_by} needs the field {field!r}; the records have {fields}.")
    return record[field]


def first_places(places: Sequence[str], count: int | None = None) -> str:
    """Returns the first few of `count` places for a message, with `...` for the others."""
    more = ["..."] if (count or len(places)) > SHOWN_PLACES else []
    return ", ".join([*places[:SHOWN_PLACES], *more])


def hash64(text: str) -> int:
    """Returns a 64-bit hash of a text that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def texts_of(value: Any) -> list[str]:
    """Returns the text of a field's value; tokens as one text, and none for other values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [" ".join(value)]
    return []


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of `size` items, in order; the last one may be shorter.

    Example:
        >>> list(chunks("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
