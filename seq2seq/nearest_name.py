"""Names the known key, file, metric, ... that a misspelt one is most similar to."""

import difflib
import re
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; the nearest is 'x'` with the known name that is meant; empty if none is similar.

    Only the last part of a name may have been given: `units` of `model.encoder.units`.
    """
    meant = _meant(name, [item for item in known if item != name])
    return f"; the nearest is {' or '.join(map(repr, meant[:6]))}" if meant else ""


def _meant(name: str, known: list[str]) -> list[str]:
    """Returns the known names of the first rule that has any."""
    with_last_part = [item for item in known if _last_part(item) == name]
    begun = [item for item in known if _is_begun(item, name)]
    similar = _most_similar(name, {item: item for item in known}, cutoff=0.6)
    similar = [item for item in similar if not _differs_in_all(item, name)]
    last_parts = {_last_part(item): item for item in known}
    return (
        with_last_part
        or begun
        or similar
        or _most_similar(_last_part(name), last_parts, cutoff=0.7)
    )


def _is_begun(key: str, name: str) -> bool:
    """Returns whether a dotted name is the beginning of a key: `task.h` of `task.horizon`."""
    return "." in name and key.startswith(name) and "." not in key[len(name) :]


def _differs_in_all(key: str, name: str) -> bool:
    """Returns whether keys of the same group share the group alone: `task.h` and `task.seed`."""
    (group, _, key), (other, _, name) = key.rpartition("."), name.rpartition(".")
    return group == other and not _most_similar(name, {key: key}, cutoff=0.4)


def _most_similar(name: str, known: dict[str, str], cutoff: float) -> list[str]:
    """Returns the value of the most similar key, whatever its case; an empty list if none is."""
    by_lower = {key.lower(): value for key, value in known.items()}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return [by_lower[match] for match in matches]


def _last_part(name: str) -> str:
    return re.split(r"[./]", name)[-1]
