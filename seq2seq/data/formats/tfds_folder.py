"""Prepared TFDS folders of strangers: looked through before TFDS opens them."""

import json
from collections.abc import Iterator
from pathlib import Path

from seq2seq.errors import UserError

_OWN = "tensorflow_datasets."
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def check_features(directory: Path) -> None:
    """Refuses a folder whose features are not classes of TFDS: it would import what they name.

    Args:
        directory: A folder with `dataset_info.json`.

    Raises:
        UserError: If a feature is of another class, or the file is damaged.
    """
    path = directory / "features.json"
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        foreign = [name for name in _classes(content) if not name.startswith(_OWN)]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}). Copy the data again.") from error
    if foreign:
        raise UserError(
            f"{path}: names the feature class '{foreign[0]}', which is not one of TFDS; prepared "
            "data must not run other code"
        )


def _classes(content: object) -> Iterator[str]:
    """Yields every class that a feature is read as, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in _CLASS_KEYS and isinstance(value, str):
                yield value
            else:
                yield from _classes(value)
    elif isinstance(content, list):
        for each in content:
            yield from _classes(each)
