"""JSON objects from files that hold one a line, and the texts in them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq.data.formats.text_files import read_lines
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
        raise UserError(f"{place}: the value of {key!r} is not a text but {_shown(value)}.")
    check_characters(value, f"{place}: the value of {key!r}")
    return value


def check_characters(text: str, name: str) -> None:
    """Refuses half of a surrogate pair, which JSON can escape, and which is no character.

    Args:
        text: The text.
        name: What it is, for messages.

    Raises:
        UserError: If there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{name} holds an unpaired surrogate (\\ud800 to \\udfff).") from None


def parsed_json(text: str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: If it is malformed, nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None


def _shown(value: Any) -> str:
    """Returns the beginning of a JSON value."""
    try:
        return json.dumps(value)[:80]
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        values = parsed_json(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: malformed JSON ({error.msg} at column {error.colno}).") from None
    except ValueError as error:
        raise UserError(f"{place}: cannot be read as JSON ({error}).") from None
    if not isinstance(values, dict):
        raise UserError(f"{place}: a JSON object is needed, not {type(values).__name__}.")
    return values
