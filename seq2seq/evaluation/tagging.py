"""Scores of labels per token: accuracy, entities, and what is taken for what."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import seqeval.scheme
from seqeval.metrics import classification_report

Labels = Sequence[Sequence[str]]
"""The labels of each sentence."""

_SEQEVAL_SCHEMES = {
    "IOB1": seqeval.scheme.IOB1,
    "IOB2": seqeval.scheme.IOB2,
    "BIOES": seqeval.scheme.IOBES,
}


ACCURACIES = ("accuracy", "accuracy_unknown")
ENTITY_SCORES = tuple(
    prefix + name for prefix in ("", "strict_") for name in ("precision", "recall", "f1")
)


def accuracies(
    references: Labels, predictions: Labels, known: Sequence[Sequence[bool]]
) -> dict[str, float]:
    """Returns the share of right labels.

    Args:
        references: The right labels.
        predictions: The predicted ones.
        known: Whether each token was seen in training.

    Returns:
        `accuracy`, and where there are such tokens, `accuracy_unknown`.
    """
    right = np.array([one == other for one, other in _pairs(references, predictions)], bool)
    unknown = ~np.array([each for sentence in known for each in sentence], bool)
    scores = {"accuracy": float(right.mean()) if len(right) else 0.0}
    if unknown.any():
        scores["accuracy_unknown"] = float(right[unknown].mean())
    return scores


def entity_scores(
    references: Labels, predictions: Labels, scheme: str
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Scores spans: right are those with the right tokens and type.

    Args:
        references: The right labels.
        predictions: The predicted ones.
        scheme: `IOB1`, `IOB2` or `BIOES`.

    Returns:
        `precision`, `recall` and `f1` over all spans (seqeval's default, which reads broken
        sequences as `conlleval` does), the same as `strict_...` (where only what follows the scheme
        counts); and a table with a row a type.
    """
    known = _SEQEVAL_SCHEMES[scheme]
    reports = {
        "": _report(references, predictions),
        "strict_": _report(references, predictions, mode="strict", scheme=known),
    }
    scores = {
        f"{prefix}{ours}": float(report["micro avg"][theirs])
        for prefix, report in reports.items()
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"))
    }
    table = [
        {
            "type": kind,
            "precision": float(row["precision"]),
            "recall": float(row["recall"]),
            "f1": float(row["f1-score"]),
            "strict_f1": float(reports["strict_"].get(kind, {"f1-score": 0.0})["f1-score"]),
            "entities": int(row["support"]),
        }
        for kind, row in reports[""].items()
        if not kind.endswith(" avg")
    ]
    return scores, table


def signature(scheme: str) -> str:
    """Returns how entities were scored, in one line."""
    return f"seqeval:{version('seqeval')}|scheme:{scheme}|average:micro"


def confusions(references: Labels, predictions: Labels) -> list[dict[str, Any]]:
    """Counts what was taken for what.

    Returns:
        A table of reference, prediction and count, the most frequent first.
    """
    counted = Counter(_pairs(references, predictions))
    return [
        {"reference": reference, "prediction": prediction, "count": count}
        for (reference, prediction), count in sorted(
            counted.items(), key=lambda item: (-item[1], item[0])
        )
    ]


def confusion_counts(table: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, list[str]]:
    """Returns a table of `confusions` as a matrix.

    Returns:
        Integers `(labels, labels)`, by reference and prediction; and the labels, sorted.
    """
    labels = sorted({row[name] for row in table for name in ("reference", "prediction")})
    number = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for row in table:
        counts[number[row["reference"]], number[row["prediction"]]] = row["count"]
    return counts, labels


def frequent_errors(
    tokens: Labels, references: Labels, predictions: Labels, limit: int = 50
) -> list[dict[str, Any]]:
    """Returns the errors that are made most often: token, reference, prediction, count."""
    counted = Counter(
        (token, *pair)
        for token, pair in zip(
            (token for sentence in tokens for token in sentence),
            _pairs(references, predictions),
            strict=True,
        )
        if pair[0] != pair[1]
    )
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [
        {"token": token, "reference": reference, "prediction": prediction, "count": count}
        for (token, reference, prediction), count in ordered
    ]


def _pairs(references: Labels, predictions: Labels) -> list[tuple[str, str]]:
    return [
        pair
        for one, other in zip(references, predictions, strict=True)
        for pair in zip(one, other, strict=True)
    ]


def _report(references: Labels, predictions: Labels, **how: Any) -> dict[str, Any]:
    lists = [[list(labels) for labels in each] for each in (references, predictions)]
    if not any(label != "O" for each in lists for labels in each for label in labels):
        return {"micro avg": dict.fromkeys(("precision", "recall", "f1-score"), 0.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that are never predicted: their score is 0
        return classification_report(lists[0], lists[1], output_dict=True, zero_division=0, **how)
