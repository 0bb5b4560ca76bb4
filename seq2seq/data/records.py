"""Records: what datasets yield, as dictionaries of field -> text, number or list of them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

Record = dict[str, Any]
Item = TypeVar("Item")


class PlacedRecord(Record):
    """A record that knows where it was read; equal to any dictionary of the same fields.

    Args:
        values: The fields.
        place: Where it was read, such as `train.tsv:7`.
    """

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        super().__init__(values)
        self.place = place


def place_of(record: Mapping[str, Any], number: int) -> str:
    """Returns where a record was read, for messages: its place, or its number (from 1)."""
    return getattr(record, "place", f"record {number}")


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of `size` items, in order; the last one may be shorter.

    Example:
        >>> list(chunks("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
