"""Checks requests against the limits of the server."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException

from seq2seq.serving.limits import Limits
from seq2seq.serving.requests.bodies import PredictBody


def check_options(body: PredictBody, limits: Limits) -> None:
    """Refuses options above the limits."""
    check_at_most("beam_size", body.beam_size, limits.hypotheses)
    check_at_most("n_best", body.n_best, limits.hypotheses)
    check_at_most("horizon", body.horizon, limits.horizon)


def check_at_most(name: str, value: int | None, limit: int) -> None:
    """Refuses a value above a limit."""
    if value is not None and value > limit:
        raise HTTPException(422, f"{name}: may be {limit:,} at most, got {value:,}.")


def check_inputs(field: str, inputs: Sequence[Any], limits: Limits) -> None:
    """Refuses too many inputs, or too long ones."""
    if len(inputs) > limits.queue:
        raise HTTPException(
            422, f"{field}: may have {limits.queue:,} items; send several requests."
        )
    for number, value in enumerate(inputs):
        check_length(f"{field}[{number}]", value, limits.characters)


def check_length(name: str, value: Any, limit: int) -> None:
    """Refuses an input that is too long."""
    if length_of(value) > limit:
        raise HTTPException(422, f"{name}: is longer than {limit:,} characters.")


def length_of(value: Any) -> int:
    """Returns the characters of an input, all fields together."""
    return len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
