"""Evaluation of classifications: scores, tables of errors, and figures."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.number_columns import finite_number
from seq2seq.data.records import Record, place_of
from seq2seq.errors import UserError
from seq2seq.evaluation.classification import (
    CLASS_SCORES,
    LABEL_SET_SCORES,
    confidences,
    score_classes,
    score_label_sets,
)
from seq2seq.evaluation.item_statistics import item_statistics
from seq2seq.models.classifier import Classifier
from seq2seq.prediction_rows import ClassRow
from seq2seq.tasks.classification.data import ClassificationData
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.inputs import has_blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

MOST_ROWS = 50
"""Of a table."""


class ClassificationEvaluation(ClassificationData):
    """The evaluation part of `Classification`."""

    threshold: float

    @property
    def score_names(self) -> Sequence[str]:
        """The scores of classes, or of sets of labels."""
        return LABEL_SET_SCORES if self.labels.several else CLASS_SCORES

    def evaluate(self, model: Classifier, records: Iterable[Record]) -> Evaluation:
        """Classifies records and scores them; those that cannot be scored are left out.

        The tables are the most frequent `confused` labels, the most confident `errors`, and the
        `skipped` records.
        """
        usable, skipped = [], []
        for number, record in enumerate(records, start=1):
            if reason := self._skip_reason(record):
                skipped.append({"place": place_of(record, number), "reason": reason})
            else:
                usable.append(record)
        first = ": ".join(skipped[0].values()) if skipped else "there is none"
        if skipped:
            log.warning("%d records left out of the scores, such as %s", len(skipped), first)
        if not usable:
            raise UserError(f"No record is left to score: {first}.")
        rows = self.predict(model, usable)
        for row, record in zip(rows, usable, strict=True):
            names = sorted(self.labels.names_of(record["label"]))
            row["reference"] = self.labels.delimiter.join(names)
            if self.labels.several:
                row["reference_labels"] = names
        truth, probabilities = truth_of(rows, self.labels), probabilities_of(rows)
        scores = (
            score_label_sets(truth, probabilities, self.threshold)
            if self.labels.several
            else score_classes(truth, probabilities)
        )
        tables = {**error_tables(rows), "skipped": skipped}
        return Evaluation(rows, scores, tables=tables, statistics=item_statistics(rows))

    def _skip_reason(self, record: Record) -> str:
        """Returns why a record cannot be scored; nothing if it can."""
        if "label" not in record:
            return "no field 'label'"
        if has_blank(record, self.texts):
            return "empty text"
        labels = self.labels.names_of(record["label"])
        if unseen := self.labels.unseen(labels):
            return f"label {unseen[0]!r} was never seen in training"
        if not self.labels.several and len(labels) != 1:
            return f"{len(labels)} labels"
        for column in self.numbers:
            if finite_number(record.get(column.field)) is None:
                return f"no number in {column.field}, but {record.get(column.field)!r}"
        return ""

    def figures(self, model: Classifier, evaluation: Evaluation) -> "dict[str, Figure]":
        """Draws `reliability` and `precision_recall`, and for one label a row `confusion`."""
        from seq2seq.plots.classification import (
            confusion_matrix_figure,
            precision_recall_figure,
            reliability_figure,
        )

        labels, rows = self.labels, cast(Sequence[ClassRow], evaluation.rows)
        truth, probabilities = truth_of(rows, labels), probabilities_of(rows)
        if labels.several:
            decisions, one_hot = (probabilities.ravel(), truth.ravel()), truth
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


def error_tables(rows: Sequence[ClassRow]) -> dict[str, list[dict[str, Any]]]:
    """Returns the most frequent `confused` labels, and the most confident `errors`."""
    wrong = [row for row in rows if row["prediction"] != row["reference"]]
    confused = Counter((row["reference"], row["prediction"]) for row in wrong)
    return {
        "confused": [
            {"reference": reference, "prediction": prediction, "count": count}
            for (reference, prediction), count in confused.most_common(MOST_ROWS)
        ],
        "errors": [dict(row) for row in sorted(wrong, key=lambda row: -row["score"])[:MOST_ROWS]],
    }


def truth_of(rows: Sequence[ClassRow], labels: ClassLabels) -> np.ndarray:
    """Returns the class of each row, `(rows,)`; or 0 and 1 by class, `(rows, classes)`."""
    if not labels.several:
        return np.array([labels.ids([row["reference"]])[0] for row in rows])
    truth = np.zeros((len(rows), len(labels.names)), int)
    for row, values in zip(rows, truth, strict=True):
        values[labels.ids(row["reference_labels"])] = 1
    return truth


def probabilities_of(rows: Sequence[ClassRow]) -> np.ndarray:
    """Returns the probabilities of rows, `(rows, classes)`."""
    return np.array([list(row["probabilities"].values()) for row in rows])
