"""Scores, tables and pictures of classified rows."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.evaluation.classification import confidences, score_classes, score_label_sets
from seq2seq.plots.classification import (
    confusion_matrix_figure,
    precision_recall_figure,
    reliability_figure,
)
from seq2seq.tasks.base import Evaluation, Row

SHOWN = 50
"""Rows of a table."""


def evaluate_rows(
    rows: list[Row],
    references: Sequence[list[str]],
    labels: ClassLabels,
    threshold: float,
    skipped: list[Row],
) -> Evaluation:
    """Scores predictions against labels, and puts each row's `reference` into it.

    Args:
        rows: Predictions, with `probabilities` by label.
        references: The labels of each row.
        labels: The classes.
        threshold: How probable a label is at least that is predicted, where there are several.
        skipped: Records that have no row, with the reason.

    Returns:
        Rows and scores, with tables of what was `confused` with what and how often, of the most
        confident `errors`, and of what was `skipped`.
    """
    for row, names in zip(rows, references, strict=True):
        row["reference"] = labels.delimiter.join(sorted(names))
    truth, probabilities = truth_of(rows, labels), probabilities_of(rows)
    if labels.several:
        scores = score_label_sets(truth, probabilities, threshold)
    else:
        scores = score_classes(truth, probabilities)
    wrong = [row for row in rows if row["prediction"] != row["reference"]]
    confused = Counter((row["reference"], row["prediction"]) for row in wrong)
    tables = {
        "confused": [
            {"reference": reference, "prediction": prediction, "count": count}
            for (reference, prediction), count in confused.most_common(SHOWN)
        ],
        "errors": sorted(wrong, key=lambda row: -row["score"])[:SHOWN],
        "skipped": skipped,
    }
    return Evaluation(rows, scores, tables=tables)


def truth_of(rows: Sequence[Row], labels: ClassLabels) -> np.ndarray:
    """Returns the class of each row, `(rows,)`; or 0 and 1 by class, `(rows, classes)`."""
    if not labels.several:
        return np.array([labels.numbers([row["reference"]])[0] for row in rows])
    truth = np.zeros((len(rows), len(labels.names)), int)
    for row, values in zip(rows, truth, strict=True):
        values[labels.numbers(filter(None, row["reference"].split(labels.delimiter)))] = 1
    return truth


def probabilities_of(rows: Sequence[Row]) -> np.ndarray:
    """Returns the probabilities of rows, `(rows, classes)`."""
    return np.array([list(row["probabilities"].values()) for row in rows])


def figures_of(rows: Sequence[Row], labels: ClassLabels) -> dict[str, Figure]:
    """Draws `reliability` and `precision_recall`, and for one label a row `confusion`."""
    truth, probabilities = truth_of(rows, labels), probabilities_of(rows)
    if labels.several:
        decisions = probabilities.ravel(), truth.ravel()
        one_hot = truth
    else:
        decisions = confidences(truth, probabilities)
        one_hot = np.eye(len(labels.names), dtype=int)[truth]
    figures = {
        "reliability": reliability_figure(*decisions),
        "precision_recall": precision_recall_figure(one_hot, probabilities, labels.names),
    }
    if not labels.several:
        counts = np.zeros((len(labels.names),) * 2, int)
        np.add.at(counts, (truth, probabilities.argmax(axis=1)), 1)
        figures["confusion"] = confusion_matrix_figure(counts, labels.names)
    return figures
