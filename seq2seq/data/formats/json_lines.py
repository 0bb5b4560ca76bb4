"""JSON lines: files with one JSON object a line; blank lines are ignored."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq.data.formats.files import FileDataset, FileNames
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError


class Jsonl(FileDataset):
    """Files of JSON objects whose values are texts.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        fields: The JSON key of each field; other keys are ignored.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = Jsonl("books", {"train": "en-fr.jsonl"}, {"source": "en", "target": "fr"})
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        fields: Mapping[str, str],
        holdout: Holdout | None = None,
    ) -> None:
        self._fields = dict(fields)
        super().__init__(directory, files, holdout)

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        for place, values in read_objects(path):
            fields = {
                field: self._value(values, key, place, f"data.fields.{field}")
                for field, key in self._fields.items()
            }
            yield PlacedRecord(fields, place)

    def _value(self, values: dict[str, Any], key: str, place: str, required_by: str) -> Any:
        return text_at(values, key, place, required_by)

    def _settings(self) -> list[str]:
        return [str(self._fields)]


class LabelledJsonl(Jsonl):
    """As `Jsonl`, but a value may also be a number or a list of texts, as labels are."""

    def _value(self, values: dict[str, Any], key: str, place: str, required_by: str) -> Any:
        value = values.get(key)
        if isinstance(value, int | float) or (value is None and key in values):
            return value
        if isinstance(value, list):
            items = {str(number): item for number, item in enumerate(value)}
            return [text_at(items, number, f"{place} ({key})", required_by) for number in items]
        return text_at(values, key, place, required_by)


class TaggedJsonl(Jsonl):
    """As `Jsonl`, but each value is a list of texts: the tokens of a sentence, and their labels.

    Example:
        >>> fields = {"tokens": "tokens", "labels": "ner"}
        >>> dataset = TaggedJsonl("entities", {"train": "en.jsonl"}, fields)
    """

    def _value(self, values: dict[str, Any], key: str, place: str, required_by: str) -> list[str]:
        items = values.get(key)
        if not isinstance(items, list):
            raise UserError(
                f"{place}: needs a list of texts under the key {key!r} ({required_by}); "
                f"there are {', '.join(map(repr, values)) or 'none'}."
            )
        named = {f"{key}[{index}]": item for index, item in enumerate(items)}
        return [text_at(named, name, place, required_by) for name in named]


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each object of a file with its place, `FILE:LINE`.

    Raises:
        UserError: If the file cannot be read, or a line is not a JSON object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if line and not line.isspace():
            place = f"{path}:{number}"
            yield place, _parsed_object(line, place)


def text_at(values: Mapping[str, Any], key: str, place: str, required_by: str) -> str:
    """Returns the text under a key of an object.

    Args:
        values: The object.
        key: The key.
        place: Where the object stands, for messages.
        required_by: What needs the key, such as a config key, for messages.

    Raises:
        UserError: If there is no such key, or its value is not a valid Unicode text.
    """
    if key not in values:
        raise UserError(
            f"{place}: there is no key {key!r} ({required_by}); "
            f"there are {', '.join(map(repr, values)) or 'none'}."
        )
    value = values[key]
    if not isinstance(value, str):
        raise UserError(f"{place}: the value of {key!r} is not a text but {_beginning(value)}.")
    check_characters(value, f"{place}: the value of {key!r}")
    return value


def check_characters(text: str, name: str) -> None:
    """Refuses unpaired surrogates, which JSON can escape and UTF-8 cannot encode.

    Raises:
        UserError: If there is one; `name` says in which text.
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


def _beginning(value: Any) -> str:
    try:
        return json.dumps(value)[:80]
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"


def _parsed_object(line: str, place: str) -> dict[str, Any]:
    try:
        values = parsed_json(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: malformed JSON ({error.msg} at column {error.colno}).") from None
    except ValueError as error:
        raise UserError(f"{place}: cannot be read as JSON ({error}).") from None
    if not isinstance(values, dict):
        raise UserError(f"{place}: a JSON object is needed, not {type(values).__name__}.")
    return values
