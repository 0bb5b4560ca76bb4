"""Scores of one label for each token: accuracy, entities, confusions and frequent errors."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from typing import Any

import numpy as np

Labels = Sequence[Sequence[str]]
"""The labels of each sentence."""

SEQEVAL_SCHEMES = {"IOB1": "IOB1", "IOB2": "IOB2", "BIOES": "IOBES"}
"""The names of schemes in seqeval."""

ACCURACIES = ("accuracy", "accuracy_unknown")
ENTITY_SCORES = tuple(
    prefix + name for prefix in ("", "strict_") for name in ("precision", "recall", "f1")
)


def accuracies(
    references: Labels, predictions: Labels, known: Sequence[Sequence[bool]]
) -> dict[str, float]:
    """Returns the share of correct labels: `accuracy`, and `accuracy_unknown` if it is defined.

    Args:
        references: The correct labels.
        predictions: The predicted labels.
        known: Whether each token occurs in the training data.
    """
    pairs = _pairs(references, predictions)
    correct = np.array([reference == prediction for reference, prediction in pairs], bool)
    unknown = ~np.array(list(chain.from_iterable(known)), bool)
    scores = {"accuracy": float(correct.mean()) if len(correct) else 0.0}
    if unknown.any():
        scores["accuracy_unknown"] = float(correct[unknown].mean())
    return scores


def entity_scores(
    references: Labels, predictions: Labels, scheme: str
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Scores entities, which are correct if their tokens and their type are.

    Args:
        references: The correct labels.
        predictions: The predicted labels.
        scheme: `IOB1`, `IOB2` or `BIOES`.

    Returns:
        `precision`, `recall` and `f1` over all entities (seqeval's default, which reads malformed
        sequences as `conlleval` does), the same as `strict_...` (which ignores what does not
        follow the scheme); and a table with a row for each type.
    """
    report = _report(references, predictions)
    strict = _report(references, predictions, mode="strict", scheme=seqeval_scheme(scheme))
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score"}
    scores = {
        prefix + name: float(average["micro avg"][key])
        for prefix, average in (("", report), ("strict_", strict))
        for name, key in names.items()
    }
    table = [
        {
            "type": kind,
            **{name: float(row[key]) for name, key in names.items()},
            "strict_f1": float(strict.get(kind, {"f1-score": 0.0})["f1-score"]),
            "entities": int(row["support"]),
        }
        for kind, row in report.items()
        if not kind.endswith(" avg")
    ]
    return scores, table


def seqeval_scheme(name: str) -> Any:
    """Returns seqeval's class of a scheme."""
    from seqeval import scheme  # imports scikit-learn, for a second

    return getattr(scheme, SEQEVAL_SCHEMES[name])


def signature(scheme: str) -> str:
    """Returns the version and settings of the entity scores in one line."""
    return f"seqeval:{version('seqeval')}|scheme:{scheme}|average:micro"


def confusions(references: Labels, predictions: Labels) -> list[dict[str, Any]]:
    """Returns a table of reference, prediction and count, sorted by count."""
    counts = Counter(_pairs(references, predictions))
    return [
        {"reference": reference, "prediction": prediction, "count": count}
        for (reference, prediction), count in _by_count(counts)
    ]


def confusion_counts(table: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, list[str]]:
    """Converts a table of `confusions` to a matrix.

    Returns:
        Integers `(labels, labels)`, by reference and prediction; and the labels, sorted.
    """
    labels = sorted({row[name] for row in table for name in ("reference", "prediction")})
    indices = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for row in table:
        counts[indices[row["reference"]], indices[row["prediction"]]] = row["count"]
    return counts, labels


def frequent_errors(
    tokens: Labels, references: Labels, predictions: Labels, limit: int = 50
) -> list[dict[str, Any]]:
    """Returns a table of the most frequent errors: token, reference, prediction, count."""
    pairs = _pairs(references, predictions)
    counts = Counter(
        (token, reference, prediction)
        for token, (reference, prediction) in zip(chain.from_iterable(tokens), pairs, strict=True)
        if reference != prediction
    )
    return [
        {"token": token, "reference": reference, "prediction": prediction, "count": count}
        for (token, reference, prediction), count in _by_count(counts)[:limit]
    ]


def _by_count(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """Sorts items by descending count, then alphabetically."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _pairs(references: Labels, predictions: Labels) -> list[tuple[str, str]]:
    """Returns reference and prediction of each token."""
    return [
        pair
        for sentence in zip(references, predictions, strict=True)
        for pair in zip(*sentence, strict=True)
    ]


def _report(references: Labels, predictions: Labels, **options: Any) -> dict[str, Any]:
    from seqeval.metrics import classification_report  # imports scikit-learn, for a second

    lists = [[list(sentence) for sentence in labels] for labels in (references, predictions)]
    if all(label == "O" for labels in lists for sentence in labels for label in sentence):
        return {"micro avg": dict.fromkeys(("precision", "recall", "f1-score"), 0.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that are never predicted: their score is 0
        return classification_report(
            lists[0], lists[1], output_dict=True, zero_division=0, **options
        )
