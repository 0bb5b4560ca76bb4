"""Records that know where they stand."""

from collections.abc import Mapping
from typing import Any


class PlacedRecord(dict[str, Any]):
    """A record with its place; equal to any dictionary of the same fields.

    Args:
        values: The fields.
        place: Where the record stands, such as `train.tsv:7`.
    """

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        super().__init__(values)
        self.place = place


def place_of(record: Mapping[str, Any], number: int) -> str:
    """Returns where a record stands: its place, or its number (from 1)."""
    return getattr(record, "place", f"record {number}")
