"""Span schemes, which write spans as one label a token: IOB1, IOB2 and BIOES.

A label is `O` or a prefix, `-` and the span's type, such as `B-PER`.

- IOB2: `B` begins every span, `I` continues it.
- IOB1 (CoNLL 2003 as it was published): `I` throughout; `B` begins a span only where one of the
  same type ends right before it (Ramshaw & Marcus, 1995).
- BIOES: as IOB2, but `E` ends a span and `S` is one of a single token.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

OUTSIDE = "O"

PREFIXES = {"IOB1": "IB", "IOB2": "BI", "BIOES": "BIES"}
"""The prefixes of each scheme."""


class Span(NamedTuple):
    """Tokens `start` to `end`, the latter not included."""

    type: str
    start: int
    end: int


def check_scheme(name: str, scheme: str | None) -> None:
    """Raises ValueError if a constructor argument is neither a scheme nor `None`."""
    if scheme is not None and scheme not in PREFIXES:
        raise ValueError(f"{name}: must be one of {', '.join(PREFIXES)} or null, got {scheme!r}")


def split_label(label: str, scheme: str) -> tuple[str, str]:
    """Returns the prefix and the type of a label; `O` is its own prefix.

    Raises:
        ValueError: If the label is not one of the scheme.
    """
    prefix, _, kind = label.partition("-")
    if label == OUTSIDE or (len(prefix) == 1 and prefix in PREFIXES[scheme] and kind):
        return prefix, kind
    prefixes = ", ".join(f"{prefix}-TYPE" for prefix in PREFIXES[scheme])
    raise ValueError(f"{label!r} is no label of the scheme {scheme}: those are O, {prefixes}")


def spans_of(labels: Sequence[str], scheme: str) -> list[Span]:
    """Returns the spans of a sentence.

    Invalid sequences are read as `conlleval` does: an `I` without a beginning begins a span, and a
    span without an end ends.

    Raises:
        ValueError: If a label is not one of the scheme.
    """
    spans: list[Span] = []
    is_open = False
    for position, label in enumerate(labels):
        prefix, kind = split_label(label, scheme)
        if prefix == OUTSIDE:
            is_open = False
            continue
        if is_open and prefix in "IE" and spans[-1].type == kind:
            spans[-1] = spans[-1]._replace(end=position + 1)
        else:
            spans.append(Span(kind, position, position + 1))
        is_open = prefix in "BI"
    return spans


def labels_of(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Returns the labels of a sentence of `length` tokens with spans, which do not overlap."""
    labels = [OUTSIDE] * length
    ordered = sorted(spans, key=lambda span: span.start)
    before = Span("", -1, -1)
    for span in ordered:
        inside = range(span.start, span.end)
        labels[span.start : span.end] = [f"I-{span.type}" for _ in inside]
        touches = before.end == span.start and before.type == span.type
        if scheme != "IOB1" or touches:
            labels[span.start] = f"B-{span.type}"
        if scheme == "BIOES":
            labels[span.end - 1] = f"{'S' if len(inside) == 1 else 'E'}-{span.type}"
        before = span
    return labels


def converted(labels: Sequence[str], scheme: str | None, new_scheme: str | None) -> list[str]:
    """Converts a sentence's labels from one scheme into another; the same one repairs them.

    Without a scheme, labels stand for single tokens and stay.

    Raises:
        ValueError: If a label is not one of the scheme.
    """
    if scheme is None or new_scheme is None:
        return list(labels)
    return labels_of(spans_of(labels, scheme), len(labels), new_scheme)


def allowed_transitions(labels: Sequence[str], scheme: str | None) -> list[list[bool]]:
    """Returns whether label j may follow label i, booleans `(labels + 1, labels + 1)`.

    The last row and column stand for the beginning and the end of a sentence. Without a scheme, all
    transitions are allowed.
    """
    if scheme is None:
        return [[True] * (len(labels) + 1) for _ in range(len(labels) + 1)]
    # Outside equals the ends of a sentence: no span continues there.
    parts = [split_label(label, scheme) for label in (*labels, OUTSIDE)]
    return [[_may_follow(first, second, scheme) for second in parts] for first in parts]


def _may_follow(first: tuple[str, str], second: tuple[str, str], scheme: str) -> bool:
    same = first[1] == second[1] and OUTSIDE not in (first[0], second[0])
    if scheme == "IOB1":
        return second[0] != "B" or same
    if scheme == "IOB2":
        return second[0] != "I" or same
    is_open, continues = first[0] in "BI", second[0] in "IE"
    return is_open == continues and (same or not continues)


def is_well_formed(labels: Sequence[str], scheme: str) -> bool:
    """Returns whether labels are a valid sequence of the scheme.

    Raises:
        ValueError: If a label is not one of the scheme.
    """
    parts = [split_label(label, scheme) for label in (OUTSIDE, *labels, OUTSIDE)]
    return all(_may_follow(first, second, scheme) for first, second in pairwise(parts))
