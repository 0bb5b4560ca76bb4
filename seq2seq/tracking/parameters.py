"""Flattens a nested config to the short texts that MLflow accepts."""

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

WITHOUT_EFFECT = (
    "tracking.",
    "sweep.",
    "distribute._target_.",
    "distribute.devices.",
    "distribute.port.",
    *(
        f"trainer.{key}."
        for key in (
            "resume", "keep", "checkpoint_minutes", "checkpoint_steps", "stop_after_minutes",
            "profile", "log_every", "callbacks.pruning",
        )
    ),
)  # fmt: skip
"""Prefixes of the config keys that do not change results."""

NEW_DEFAULTS = {
    "trainer.accumulate": "1",
    "distribute.gradients": "float32",
    "init_tokenizers": "run",
}
"""Keys that older runs lack, with the value that changes nothing."""


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Flattens a config to dotted names and texts, cut to the lengths that MLflow accepts.

    Texts stay as they are; all other values are written as JSON, which is how they would be typed
    in a config: `true`, `null`, `[1, 2]`.

    Example:
        >>> flatten({"model": {"units": 256, "cell": "lstm"}, "seed": None})
        {'model.units': '256', 'model.cell': 'lstm', 'seed': 'null'}
    """
    return {
        valid_name(name): shorten(_text(value), MAX_PARAMETER_LENGTH)
        for name, value in _leaves(config, "")
    }


def meaningful(config: Mapping[str, Any]) -> dict[str, str]:
    """Flattens a config, without the keys that do not change results."""
    return {
        name: value
        for name, value in flatten(config).items()
        if not f"{name}.".startswith(WITHOUT_EFFECT) and NEW_DEFAULTS.get(name) != value
    }


def variant_of(config: Mapping[str, Any]) -> str:
    """Returns a short hash of a config without its seed: equal for runs of one variant."""
    values = {name: value for name, value in meaningful(config).items() if name != "seed"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def valid_name(name: str) -> str:
    """Replaces each character that MLflow rejects in names: `chrf++` becomes `chrfpp`."""
    name = re.sub(r"[^\w\-. :/]", "_", name.replace("+", "p"))[:MAX_NAME_LENGTH]
    # Names may become paths: `loss/train` is valid, `../loss` is not.
    is_path = posixpath.normpath(name) == name and not name.startswith(("/", "."))
    return name if is_path else f"_{name.replace('/', '_')}"[:MAX_NAME_LENGTH]


def shorten(text: str, length: int) -> str:
    """Cuts a text that is longer than `length`, and marks the cut."""
    return text if len(text) <= length else text[: length - len(CUT_MARK)] + CUT_MARK


def _leaves(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
