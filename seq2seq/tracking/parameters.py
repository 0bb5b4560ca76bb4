"""A nested config as the flat, short texts that MLflow can hold."""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_NAME_LENGTH = 250
MAX_PARAMETER_LENGTH = 6000
MAX_TAG_LENGTH = 8000
CUT_MARK = "... (cut)"


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Flattens a config to dotted names.

    Texts stay as they are; all other values are written as JSON, which is how they would be typed
    in a config: `true`, `null`, `[1, 2]`.

    Example:
        >>> flatten({"model": {"units": 256, "cell": "lstm"}, "seed": None})
        {'model.units': '256', 'model.cell': 'lstm', 'seed': 'null'}

    Args:
        config: Nested dicts; lists are values.

    Returns:
        Dotted name to text. Long texts are cut to what MLflow takes.
    """
    return {
        valid_name(name): shorten(_text(value), MAX_PARAMETER_LENGTH)
        for name, value in _leaves(config, "")
    }


NO_DIFFERENCE = ("tracking.", "sweep.", "trainer.resume.", "trainer.callbacks.pruning.")
"""Beginnings of config keys that decide where a run is kept, not what it is."""


def meaningful(config: Mapping[str, Any]) -> dict[str, str]:
    """A config as `flatten` gives it, without what does not change results."""
    return {
        name: value
        for name, value in flatten(config).items()
        if not f"{name}.".startswith(NO_DIFFERENCE)
    }


def variant_of(config: Mapping[str, Any]) -> str:
    """A short hash of a config without its seed: runs that share it differ by chance alone."""
    kept = {name: value for name, value in meaningful(config).items() if name != "seed"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def valid_name(name: str) -> str:
    """The name with each character that MLflow refuses replaced: `chrf++` becomes `chrfpp`."""
    name = re.sub(r"[^\w\-. :/]", "_", name.replace("+", "p"))[:MAX_NAME_LENGTH]
    # Names may become paths, so `loss/train` will do, but `../loss` will not.
    is_path = posixpath.normpath(name) == name and not name.startswith(("/", "."))
    return name if is_path else f"_{name.replace('/', '_')}"[:MAX_NAME_LENGTH]


def shorten(text: str, length: int) -> str:
    """The text itself, or its beginning and a mark if it is longer than `length`."""
    return text if len(text) <= length else text[: length - len(CUT_MARK)] + CUT_MARK


def _leaves(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
