"""Evaluation of taggings: accuracies, scores of spans, tables of errors."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from seq2seq.data.records import Record
from seq2seq.evaluation.item_statistics import item_statistics
from seq2seq.evaluation.tagging import (
    ACCURACIES,
    ENTITY_SCORES,
    accuracies,
    confusion_counts,
    confusions,
    entity_scores,
    frequent_errors,
    signature,
)
from seq2seq.models.tagger import Tagger
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.tagging.data import TaggingData

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TaggingEvaluation(TaggingData):
    """The evaluation part of `Tagging`."""

    @property
    def score_names(self) -> Sequence[str]:
        """Accuracies and, where labels mark spans, scores of spans."""
        spans = ENTITY_SCORES if self.labels.scheme is not None else ()
        return (*ACCURACIES, *spans)

    def evaluate(self, model: Tagger, records: Iterable[Record]) -> Evaluation:
        """Labels the tokens of records and scores the labels."""
        records = [record for record, _ in self.checked(records)]
        rows = self.predict(model, records)
        for row, record in zip(rows, records, strict=True):
            row["reference"] = " ".join(record["labels"])
            row["reference_labels"] = list(record["labels"])  # which may hold blanks
        tokens = [row["tokens"] for row in rows]
        labels = [record["labels"] for record in records], [row["labels"] for row in rows]
        known = [[self.tokenizer.is_known(token) for token in sentence] for sentence in tokens]
        scores = accuracies(*labels, known)
        tables = {"errors": frequent_errors(tokens, *labels), "confusions": confusions(*labels)}
        signatures = {}
        if self.labels.scheme is not None:
            entities, tables["entities"] = entity_scores(*labels, self.labels.scheme)
            scores |= entities
            signatures["f1"] = signature(self.labels.scheme)
        statistics = item_statistics(rows, self.labels.scheme, known)
        return Evaluation(rows, scores, signatures, tables, statistics)

    def figures(self, model: Tagger, evaluation: Evaluation) -> "dict[str, Figure]":
        """Returns the confusion matrix of the labels."""
        from seq2seq.plots.classification import confusion_matrix_figure

        table = evaluation.tables["confusions"]
        return {"confusion": confusion_matrix_figure(*confusion_counts(table))} if table else {}
