"""What predictions are asked for: texts or records, checked, and as token ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import Record, place_of
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError


def record_of(given: Any, number: int, field: str) -> Record:
    """Returns an input as a record; a text alone becomes its one field.

    Args:
        given: A text, or a record that has the field.
        number: The number of the input, from 1, for messages.
        field: The field that holds the text.

    Raises:
        UserError: If it is neither, or the text is no valid Unicode.
    """
    record = {field: given} if isinstance(given, str) else given
    if not isinstance(record, Mapping):
        raise UserError(
            f"input {number}: needs a text, or a record with the field {field!r}, "
            f"not {type(given).__name__} ({given!r:.80})."
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
    """Returns whether there is nothing to see in one of the texts of a record."""
    return any(is_blank(str(record.get(field, "?"))) for field in fields)


def visible_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns the token ids of texts: none where there is nothing to see, as in lines of blanks."""
    return tokenizer.encode(["" if is_blank(text) else text for text in texts])


def check_record(record: Record, fields: Sequence[str], place: str) -> None:
    """Checks that a record has lists of texts of one length.

    Raises:
        UserError: If it does not.
    """
    for field in fields:
        value = record.get(field)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise UserError(
                f"{place}: needs a list of texts in the field {field!r}; the record has "
                f"{', '.join(map(str, record)) or 'none'}."
            )
        for text in value:
            check_characters(text, f"{place}: the field {field!r}")
        if len(value) != len(record["tokens"]):
            raise UserError(
                f"{place}: {len(record['tokens'])} tokens, but {len(value)} {field}: each token "
                "needs one."
            )
