"""Sentences as JSON objects: a list of tokens, and lists with something for each of them."""

from collections.abc import Mapping
from typing import Any

from seq2seq.data.datasets import Jsonl
from seq2seq.data.formats.json_lines import text_at
from seq2seq.errors import UserError


class TaggedJsonl(Jsonl):
    """Files with one JSON object a line, whose values are lists of texts.

    Example:
        >>> dataset = TaggedJsonl(
        ...     "entities", {"train": "en.jsonl"}, {"tokens": "tokens", "labels": "ner"}
        ... )
    """

    def _value(self, values: dict[str, Any], key: str, place: str, wanted_by: str) -> list[str]:
        return texts_at(values, key, place, wanted_by)


def texts_at(values: Mapping[str, Any], key: str, place: str, wanted_by: str) -> list[str]:
    """Returns the list of texts under a key of an object.

    Args:
        values: The object.
        key: The key.
        place: Where the object stands, for messages.
        wanted_by: What asks for the key, such as a config key, for messages.

    Raises:
        UserError: If there is no such key, or its value is not a list of texts.
    """
    found = values.get(key)
    if not isinstance(found, list):
        raise UserError(
            f"{place}: needs a list of texts under the key {key!r} ({wanted_by}); "
            f"there are {', '.join(map(repr, values)) or 'none'}."
        )
    return [
        text_at({f"{key}[{index}]": text}, f"{key}[{index}]", place, wanted_by)
        for index, text in enumerate(found)
    ]
