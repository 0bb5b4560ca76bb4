"""Reads JSON lines (one JSON object per line; blank lines are ignored) and other JSON texts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seq2seq.data.formats.base import FileNames
from seq2seq.data.formats.several_targets import FurtherTargets, SeveralTargets
from seq2seq.data.formats.text_files import read_lines_with_places
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

_LONGEST_REASON = 200


class Jsonl(SeveralTargets):
    """Reads files of JSON objects whose values are texts.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        fields: The JSON key of each field; other keys are ignored.
        holdout: Takes further splits out of `train`.
        further_targets: What further correct targets of a source are for, where the value of the
            target's key is a list of texts: `evaluate` scores predictions against any of them,
            `train` also learns from each; `ignore` takes texts alone.

    Example:
        >>> dataset = Jsonl("books", {"train": "en-fr.jsonl"}, {"source": "en", "target": "fr"})
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        fields: Mapping[str, str],
        holdout: Holdout | None = None,
        further_targets: FurtherTargets = "ignore",
    ) -> None:
        self._fields = dict(fields)
        if further_targets != "ignore" and "target" not in fields:
            raise UserError(
                f"data.further_targets={further_targets}: data.fields has no target, but "
                f"{', '.join(fields)}; leave it out."
            )
        super().__init__(directory, files, holdout, further_targets)

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        for place, values in read_objects(path):
            record = {
                field: self._value(values, key, place, f"data.fields.{field}")
                for field, key in self._fields.items()
            }
            if self._further_targets != "ignore":
                targets = record["target"]
                targets = [targets] if isinstance(targets, str) else targets
                record["target"] = targets[0]
                self._add_references(record, targets)
            yield PlacedRecord(record, place)

    def _value(self, values: dict[str, Any], key: str, place: str, required_by: str) -> Any:
        several = self._further_targets != "ignore" and required_by == "data.fields.target"
        if several and isinstance(values.get(key), list) and values[key]:
            return texts_at(values, key, place, required_by)
        return text_at(values, key, place, required_by)

    def _settings(self) -> list[str]:
        return [str(self._fields), *super()._settings()]


class LabelledJsonl(Jsonl):
    """Reads JSON objects like `Jsonl`, but a value may also be a number or a list of texts."""

    def _value(self, values: dict[str, Any], key: str, place: str, required_by: str) -> Any:
        value = values.get(key)
        if isinstance(value, int | float) or (value is None and key in values):
            return value
        if isinstance(value, list):
            return texts_at(values, key, place, required_by)
        return text_at(values, key, place, required_by)


class TaggedJsonl(Jsonl):
    """Reads JSON objects like `Jsonl`, but each value is a list of texts: tokens, or labels.

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
        items_by_name = {f"{key}[{index}]": item for index, item in enumerate(items)}
        return [text_at(items_by_name, name, place, required_by) for name in items_by_name]


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each object of a file after its place; raises UserError if a line is not one."""
    for place, line in read_lines_with_places(path):
        try:
            values = parsed_json(line)
        except json.JSONDecodeError as error:
            message = f"malformed JSON ({error.msg} at column {error.colno})"
            raise UserError(f"{place}: {message}.") from None
        except ValueError as error:
            raise UserError(f"{place}: cannot be read as JSON ({error}).") from None
        if not isinstance(values, dict):
            raise UserError(f"{place}: a JSON object is needed, not {type(values).__name__}.")
        yield place, values


def text_at(values: Mapping[str, Any], key: str, place: str, required_by: str) -> str:
    """Returns the text under a key of an object.

    Args:
        values: The object.
        key: The key.
        place: Where the object was read, for messages.
        required_by: The config key or other reason for needing the key, for messages.

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
        try:
            shown = json.dumps(value)[:80]
        except (RecursionError, ValueError):
            shown = f"a {type(value).__name__}"
        raise UserError(f"{place}: the value of {key!r} is not a text but {shown}.")
    check_characters(value, f"{place}: the value of {key!r}")
    return value


def texts_at(values: Mapping[str, Any], key: str, place: str, required_by: str) -> list[str]:
    """Returns the list of texts under a key of an object; raises UserError as `text_at`."""
    items = {str(number): item for number, item in enumerate(values[key])}
    return [text_at(items, number, f"{place} ({key})", required_by) for number in items]


def check_characters(text: str, name: str) -> None:
    """Raises UserError if a text, called `name` in the message, cannot be encoded in UTF-8.

    JSON can escape unpaired surrogates, but UTF-8 has no bytes for them.
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


def check_unique_texts(items: object) -> None:
    """Raises ValueError if a JSON value is not a list of different texts."""
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("not a list of texts")
    if len(set(items)) < len(items):
        raise ValueError("a text occurs twice")


@contextmanager
def open_model_file(path: Path, kind: str, newest_version: int | None = None) -> Iterator[Any]:
    """Yields the content of a JSON file of a model; errors in the `with` block mean it is damaged.

    Args:
        path: The file.
        kind: What the file holds, such as `tokenizer`, for messages.
        newest_version: The highest `format_version` that can be read; `None` without versions.

    Raises:
        UserError: If the file is missing, damaged, or from a newer version.
    """
    try:
        content = parsed_json(path.read_text(encoding="utf-8"))
        if newest_version is not None and content["format_version"] > newest_version:
            raise UserError(
                f"{path} was written by a newer version of seq2seq (format "
                f"{content['format_version']}, known up to {newest_version}). Install that version."
            )
        yield content
    except FileNotFoundError:
        raise UserError(f"There is no {kind} {path}.") from None
    except UserError:
        raise
    except Exception as error:  # whatever a library raises for content that it cannot read
        reason = str(error)[:_LONGEST_REASON]
        raise UserError(f"{path} is damaged: it holds no valid {kind} ({reason}).") from error
