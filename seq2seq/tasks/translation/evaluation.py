"""Evaluation of translations: BLEU and other scores, and heat maps of alignments."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast

from seq2seq.data.records import Record
from seq2seq.evaluation.item_statistics import item_statistics
from seq2seq.evaluation.text import score_texts
from seq2seq.models.translator import Translator
from seq2seq.prediction_rows import TextRow
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.tasks.translation.data import TranslationData
from seq2seq.tasks.translation.search import attends

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = 4
MOST_CHARACTERS = 240
"""Of source and prediction together in a heat map."""


class TranslationEvaluation(TranslationData):
    """The evaluation part of `Translation`."""

    metrics: list[str]
    bleu_tokenize: str

    @property
    def score_names(self) -> Sequence[str]:
        """The metrics of the config."""
        return self.metrics

    def evaluate(self, model: Translator, records: Iterable[Record]) -> Evaluation:
        """Translates the sources of records and scores them against their targets.

        Records with `references` are scored against any of these.
        """
        records = list(records)
        rows = self.predict(model, [record["source"] for record in records])
        references = [record.get("references", [record["target"]]) for record in records]
        predictions = [row["prediction"] for row in rows]
        scores = score_texts(predictions, references, self.metrics, self.bleu_tokenize)
        for row, record in zip(rows, records, strict=True):
            row["reference"] = record["target"]
            if "references" in record:
                row["references"] = record["references"]
        statistics = item_statistics(rows, metrics=self.metrics)
        return Evaluation(rows, scores.values, scores.signatures, statistics=statistics)

    def figures(self, model: Translator, evaluation: Evaluation) -> "dict[str, Figure]":
        """Returns heat maps of the alignments of the first short predictions."""
        if not attends((model,)):
            return {}
        from seq2seq.plots.alignments import alignment_heatmap

        short = (
            {"source": row["source"], "target": row["prediction"]}
            for row in cast(Sequence[TextRow], evaluation.rows)
            if row["prediction"] and len(row["source"]) + len(row["prediction"]) <= MOST_CHARACTERS
        )
        pairs = list(islice(short, FIGURES))
        rows = self.score(model, pairs, PredictionOptions(alignments=True))
        return {
            f"alignment_{number}": alignment_heatmap(
                row["alignments"], row["source_tokens"], row["target_tokens"]
            )
            for number, row in enumerate(rows, start=1)
        }
