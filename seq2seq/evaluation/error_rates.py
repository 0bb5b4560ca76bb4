"""Error rates of transduction, such as letters to phones, with one or more references an item.

An item's prediction is right if it equals any of its references; its edit distance is that to the
nearest one.
"""

import re
from collections.abc import Callable, Mapping, Sequence

_STRESS = re.compile(r"(?<=[A-Za-z])[012](?!\S)|[ˈˌ]")
"""Stress in ARPAbet (a digit at the end of a phone) and in the International Phonetic Alphabet."""

Errors = tuple[float, float]
"""The errors of an item, and the number of units that they are divided by."""


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Returns the number of insertions, deletions and substitutions from one to the other.

    Example:
        >>> edit_distance("K AE1 T S".split(), "K AH1 T".split())
        2
    """
    row = list(range(len(second) + 1))
    for deletions, one in enumerate(first, start=1):
        diagonal, row[0] = row[0], deletions
        for place, other in enumerate(second, start=1):
            substituted = diagonal + (one != other)
            diagonal = row[place]
            row[place] = min(diagonal + 1, row[place - 1] + 1, substituted)
    return row[-1]


def word_errors(hypothesis: str, references: Sequence[str]) -> Errors:
    """Returns whether the hypothesis differs from all references, and 1."""
    return float(hypothesis.strip() not in (text.strip() for text in references)), 1.0


def phone_errors(hypothesis: str, references: Sequence[str]) -> Errors:
    """Returns the edit distance to the nearest reference, in phones, and that one's length.

    Of several that are equally near, it is the first.
    """
    phones = hypothesis.split()
    distances = [(edit_distance(phones, text.split()), text) for text in references]
    distance, nearest = min(distances, key=lambda pair: pair[0])
    return float(distance), float(len(nearest.split()))


def _without_stress(
    errors: Callable[[str, Sequence[str]], Errors],
) -> Callable[[str, Sequence[str]], Errors]:
    def computed(hypothesis: str, references: Sequence[str]) -> Errors:
        return errors(_STRESS.sub("", hypothesis), [_STRESS.sub("", text) for text in references])

    return computed


ERROR_RATES: Mapping[str, Callable[[str, Sequence[str]], Errors]] = {
    "word_error_rate": word_errors,
    "phone_error_rate": phone_errors,
    "word_error_rate_without_stress": _without_stress(word_errors),
    "phone_error_rate_without_stress": _without_stress(phone_errors),
}
"""The errors of an item by the name of the score, which is their sum over all items, divided."""
