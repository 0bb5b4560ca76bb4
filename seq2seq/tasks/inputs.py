"""Inputs of predictions: texts or records, checked, and as tokens."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import Record, place_of
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError


def records_of(inputs: Iterable[Any], field: str = "source") -> list[Record]:
    """Returns inputs as records that have a field; a text alone becomes that field.

    Raises:
        UserError: If an input is neither, or the text is no valid Unicode.
    """
    return [record_of(example, number, field) for number, example in enumerate(inputs, start=1)]


def record_of(example: Any, number: int, field: str) -> Record:
    """Returns one input, see `records_of`; its number, from 1, is for messages."""
    record = {field: example} if isinstance(example, str) else example
    if not isinstance(record, Mapping):
        raise UserError(
            f"input {number}: needs a text, or a record with the field {field!r}, "
            f"not {type(example).__name__} ({example!r:.80})."
        )
    checked_text(record, field, place_of(record, number))
    return record if isinstance(record, dict) else dict(record)


def checked_text(record: Mapping[str, Any], field: str, place: str) -> str:
    """Returns the text of a field.

    Raises:
        UserError: If there is none, or it is no valid Unicode.
    """
    text = record.get(field)
    if not isinstance(text, str):
        raise UserError(
            f"{place}: needs a text in the field {field!r}; the record has "
            f"{', '.join(map(str, record)) or 'none'}."
        )
    check_characters(text, f"{place}: the text")
    return text


def has_blank(record: Mapping[str, Any], fields: Sequence[str]) -> bool:
    """Returns whether one of the texts of a record has no visible character."""
    return any(is_blank(str(record.get(field, "?"))) for field in fields)


def visible_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns the token ids of texts; none for texts without a visible character."""
    return tokenizer.encode(["" if is_blank(text) else text for text in texts])


def source_tokens(text: str, ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """Returns a source's tokens as texts; unknown words as they were written."""
    words = tokenizer.normalize(text).split()
    if tokenizer.settings["kind"] == "word" and len(words) == len(ids):
        return words
    return tokenizer.pieces(ids.tolist())


def check_observable(text: str, tokens: Sequence[str]) -> None:
    """Refuses an input without tokens, whose states cannot be observed."""
    if not tokens:
        raise UserError(f"{text!r}: has no token to look at.")
