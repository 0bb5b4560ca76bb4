"""JSON objects from files that hold one a line, and the texts in them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq.data.text_files import read_lines
from seq2seq.errors import UserError


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each object of a file with its place, `FILE:LINE`; blank lines are ignored.

    Raises:
        UserError: If the file cannot be read, or a line is not a JSON object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if line and not line.isspace():
            place = f"{path}:{number}"
            yield place, _parsed(line, place)


def text_at(values: Mapping[str, Any], key: str, place: str, wanted_by: str) -> str:
    """Returns the text under a key of an object.

    Args:
        values: The object.
        key: The key.
        place: Where the object stands, for messages.
        wanted_by: What asks for the key, such as a config key, for messages.

    Raises:
        UserError: If there is no such key, or its value is not a text of whole characters.
    """
    if key not in values:
        raise UserError(
            f"{place}: there is no key {key!r} ({wanted_by}); "
            f"there are {', '.join(map(repr, values)) or 'none'}."
        )
    value = values[key]
    if not isinstance(value, str):
        raise UserError(
            f"{place}: the value of {key!r} is not a text but {json.dumps(value)[:80]}."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can escape half of a surrogate pair, which stands for no character.
        raise UserError(
            f"{place}: the value of {key!r} holds an unpaired surrogate (\\ud800 to \\udfff)."
        ) from None
    return value


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: malformed JSON ({error.msg} at column {error.colno}).") from None
    if not isinstance(values, dict):
        raise UserError(f"{place}: a JSON object is needed, not {type(values).__name__}.")
    return values
