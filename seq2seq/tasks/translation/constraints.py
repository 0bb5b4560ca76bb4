"""Constraints of translations: from the words of a record to token ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.tokenizers.tokenizer import END, UNKNOWN, Tokenizer
from seq2seq.decoding.constraints import (
    MAX_PHRASE_TOKENS,
    MAX_REQUIRED,
    NEVER,
    Constraints,
    compile_constraints,
    phrase_tokens,
)
from seq2seq.errors import UserError

FIELDS = ("prefix", "required", "forbidden", "allowed")
"""The fields of a record that constrain its translation: a text, and three lists of texts."""


def constrained(record: Mapping[str, Any]) -> bool:
    """Returns whether a record constrains its translation."""
    return any(record.get(field) for field in FIELDS)


def constraints_of(records: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> Constraints:
    """Compiles the constraints of a batch of records to token ids of the target.

    Raises:
        UserError: If a value is no text, a word is not in the vocabulary, or constraints contradict
            each other.
    """
    cache = _TokenIds(tokenizer)
    rows = [_encoded(record, cache) for record in records]

    def compiled(rows: Sequence[Mapping[str, Any]]) -> Constraints:
        return compile_constraints(
            len(rows),
            tokenizer.size,
            END,
            prefixes=[row["prefix"] for row in rows],
            required=[row["required"] for row in rows],
            forbidden=[row["forbidden"] for row in rows],
            allowed=[row["allowed"] for row in rows],
        )

    try:
        return compiled(rows)
    except ValueError:
        for record, row in zip(records, rows, strict=True):
            try:
                compiled([row])
            except ValueError as error:
                raise UserError(
                    f"{_place(record)}: its prefix, required, forbidden and allowed words "
                    "contradict each other. Loosen one of them."
                ) from error
        raise


def named_tokens(
    records: Sequence[Mapping[str, Any]], constraints: Constraints
) -> npt.NDArray[np.int32]:
    """Returns the target tokens that the constraints of a batch of records name, `(tokens,)`."""
    named = [constraints.prefixes, constraints.tokens]
    for record, classes in zip(records, constraints.classes, strict=True):
        if record.get("allowed"):
            named.append(np.flatnonzero(classes != NEVER))
    tokens = np.unique(np.concatenate([np.ravel(part) for part in named]))
    return tokens[tokens >= 0].astype(np.int32)


class _TokenIds(dict[tuple[str, ...], list[list[int]]]):
    """The token ids of lists of texts, each list encoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, texts: tuple[str, ...]) -> list[list[int]]:
        self[texts] = [ids.tolist() for ids in self.tokenizer.encode(texts)]
        return self[texts]


def _encoded(record: Mapping[str, Any], cache: _TokenIds) -> dict[str, Any]:
    """Returns the token ids of each field."""
    texts = {field: _texts(record, field) for field in FIELDS}
    if len(texts["required"]) > MAX_REQUIRED:
        raise UserError(
            f"{_place(record)}: required: at most {MAX_REQUIRED} phrases are possible, there are "
            f"{len(texts['required'])}."
        )
    ids = {field: cache[tuple(texts[field])] for field in FIELDS}
    for field in ("prefix", "required"):
        for text, tokens in zip(texts[field], ids[field], strict=True):
            if UNKNOWN in tokens or not tokens:
                raise UserError(
                    f"{_place(record)}: {field}: {text!r} cannot be written with the run's target "
                    "vocabulary."
                )
    if (size := phrase_tokens(ids["required"], ids["forbidden"])) > MAX_PHRASE_TOKENS:
        raise UserError(
            f"{_place(record)}: required and forbidden: the phrases have {size:,} tokens; at most "
            f"{MAX_PHRASE_TOKENS:,} are possible."
        )
    # Words outside of the vocabulary need not be forbidden, and cannot be allowed.
    known = [token for tokens in ids["allowed"] for token in tokens if token != UNKNOWN]
    if ids["allowed"] and not known:
        raise UserError(f"{_place(record)}: allowed: holds no word of the target vocabulary.")
    extra = [t for field in ("prefix", "required") for tokens in ids[field] for t in tokens]
    return {
        "prefix": [token for tokens in ids["prefix"] for token in tokens],
        "required": ids["required"],
        "forbidden": [tokens for tokens in ids["forbidden"] if tokens and UNKNOWN not in tokens],
        "allowed": sorted({*known, *extra}) if known else [],
    }


def _texts(record: Mapping[str, Any], field: str) -> list[str]:
    value: Any = record.get(field) or []
    if field == "prefix" and value:
        if not isinstance(value, str):
            raise UserError(f"{_place(record)}: prefix: must be a text, got {value!r}.")
        value = [] if value.isspace() else [value]
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise UserError(f"{_place(record)}: {field}: must be a list of texts, got {value!r:.80}.")
    for text in value:
        check_characters(text, f"{_place(record)}: {field}")
    return list(value)


def _place(record: Mapping[str, Any]) -> str:
    return str(record.get("place") or repr(record["source"]))
