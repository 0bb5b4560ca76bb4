"""Tagging: a label for each token of a sentence."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seq2seq.data.batching import Batching
from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.conll import ColumnFormat, Conll
from seq2seq.data.formats.json_lines import check_characters, parsed_json
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.labels.token_labels import TokenLabels
from seq2seq.data.records import Record, place_of
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.token_features import TokenFeatures, numbered
from seq2seq.data.tokenizers.vocabulary import UNKNOWN
from seq2seq.errors import UserError
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
from seq2seq.plots.confusion import confusion_matrix_figure
from seq2seq.tasks.base import Evaluation, Row
from seq2seq.tasks.features import collected_features
from seq2seq.tasks.inputs import check_record
from seq2seq.tasks.padding import by_length, padded
from seq2seq.tasks.stored import StoredTask
from seq2seq.tasks.tagging_outputs import TaggerSearch, TaggingLoss

log = logging.getLogger(__name__)

_SHOWN_PLACES = 5
_DECIMALS = 6


class Tagging(StoredTask):
    """Learns from records with `tokens` and a label for each of them, `labels`.

    Records without tokens are left out, counted and reported. A label of validation or test that
    training does not have counts as an error; its sentence does not count in the loss.

    Args:
        tokenizer: What is read of a token.
        batching: How rows become batches.
        scheme: How the data write spans: `IOB1`, `IOB2`, `BIOES`; null where a label stands for its
            token alone.
        train_scheme: The scheme that the model learns, null for that of the data; predictions are
            written in that of the data.

    Attributes:
        format: The layout of the files of the training data, if they were in columns.

    Raises:
        ValueError: If an argument is impossible.
    """

    example_arguments: ClassVar[dict[str, Any]]  # they depend on what is read

    sorted_by: ClassVar[tuple[str, ...]] = ("labels",)

    def __init__(
        self,
        tokenizer: TokenFeatures,
        batching: Batching,
        scheme: str | None = None,
        train_scheme: str | None = None,
    ) -> None:
        super().__init__(batching)
        self.tokenizer = tokenizer
        self.labels = TokenLabels(scheme, train_scheme)
        self.loss = TaggingLoss()
        self.format: ColumnFormat | None = None
        self._vectors: np.ndarray | None = None
        self._search: TaggerSearch | None = None
        characters = 5 if tokenizer.settings["characters"] else 0
        vectors = None if tokenizer.settings["vectors"] is None else [3, 2]
        sizes = {"words": 5, "characters": characters, "columns": {}, "vectors": vectors}
        self.example_arguments = {"sizes": sizes, "labels": 3}  # type: ignore[misc]

    @property
    def signature(self) -> Any:  # type: ignore[override]
        """The `tf.TensorSpec` of each part of a batch `(inputs, labels, weights)`."""
        ranks = self.tokenizer.ranks
        inputs = {name: tf.TensorSpec((None,) * rank, tf.int32) for name, rank in ranks.items()}
        sentences = (None, None)
        return inputs, tf.TensorSpec(sentences, tf.int32), tf.TensorSpec(sentences, tf.float32)

    def check_model(self, model: Tagger) -> None:
        """Refuses constraints where there are none.

        Raises:
            UserError: If the output is constrained and there is no scheme.
        """
        if model.output == "constrained_softmax" and self.labels.scheme is None:
            raise UserError(
                "model.output=constrained_softmax: without task.scheme there is no constraint. "
                "Give task.scheme, or model.output=softmax."
            )

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the vocabularies; checks the labels of all splits."""
        self.format = data.measured_format("train") if isinstance(data, Conll) else None
        counts: Counter[str] = Counter()

        def training_records() -> Iterator[Record]:
            for record, labels in self._checked(data.records("train")):
                counts.update(labels)
                yield record

        self._vectors = self.tokenizer.fit(training_records())
        self.labels.use(counts)
        sizes = self.tokenizer.sizes
        log.info("%d labels: %s", len(counts), ", ".join(self.labels.names))
        log.info(
            "vocabulary: %s words, %s characters, %s pretrained vectors",
            f"{sizes['words']:,}",
            f"{sizes['characters']:,}",
            f"{sizes['vectors'][0]:,}" if sizes["vectors"] else "no",
        )
        for split in ("validation", "test"):
            self._report_unseen(split, data.records(split))

    def _checked(self, records: Iterable[Record]) -> Iterator[tuple[Record, list[str]]]:
        """Yields records with their labels as the model learns them.

        Raises:
            UserError: If a label is none of the scheme, or there is not one for each token.
        """
        for number, record in enumerate(records, start=1):
            place = place_of(record, number)
            check_record(record, ("tokens", "labels", *self.tokenizer.settings["columns"]), place)
            try:
                yield record, self.labels.trained(record["labels"])
            except ValueError as error:
                raise UserError(f"{place}: task.scheme: {error}.") from error

    def _report_unseen(self, split: str, records: Iterable[Record]) -> None:
        unseen: Counter[str] = Counter()
        places: dict[str, str] = {}
        for number, (record, labels) in enumerate(self._checked(records), start=1):
            for label in labels:
                if label not in self.labels:
                    unseen[label] += 1
                    places.setdefault(label, place_of(record, number))
        if unseen:
            shown = ", ".join(
                f"{label} ({places[label]})" for label in list(unseen)[:_SHOWN_PLACES]
            )
            log.warning(
                "%s: %d token(s) of %d label(s) that training does not have: they count as errors "
                "and not in the loss: %s%s",
                split, unseen.total(), len(unseen), shown,
                ", ..." if len(unseen) > _SHOWN_PLACES else "",
            )  # fmt: skip

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns what is read of the tokens, and the labels; training leaves out what is long."""
        limits = self.batching.maximum_length if split == "train" else {}
        columns = self.tokenizer.columns_of_store()
        words = columns["words"]._replace(maximum_length=limits.get("tokens"))
        return {
            **columns,
            "words": words._replace(empty="without tokens"),
            "labels": ColumnSpec("labels", self.labels, is_target=True),
        }

    def describe_store(self, store: TokenStore) -> str:
        """Returns the share of unknown words."""
        share = np.mean(np.asarray(store.columns["words"].tokens) == UNKNOWN)
        return f"; {100 * share:.2f} % unknown words"

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of tokens."""
        return int(self._lengths(store)[rows].sum())

    def make_batch(
        self, store: TokenStore, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Returns what is read, the labels, and the weights of real tokens."""
        inputs = self.tokenizer.inputs(lambda column: store.padded(column, rows))
        labels, lengths = store.padded("labels", rows)
        real = np.arange(labels.shape[1]) < lengths[:, None]
        real &= (labels >= 0).all(axis=1, keepdims=True)
        return inputs, labels, real.astype(np.float32)

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of the vocabularies, and what the scheme allows."""
        return {
            "sizes": self.tokenizer.sizes,
            "labels": len(self.labels.names),
            "allowed": self.labels.allowed,
        }

    def initialize(self, model: Tagger) -> None:
        """Puts the pretrained vectors into the model."""
        if self._vectors is not None:
            model.set_vectors(self._vectors)

    def predict(
        self,
        model: Tagger,
        inputs: Sequence[str | Record],
        batch_size: int = 64,
        *,
        n_best: int | None = None,
    ) -> list[Row]:
        """Labels sentences.

        Args:
            model: The model.
            inputs: Records with `tokens` and the further columns that are read; lists of tokens; or
                raw sentences, which are cut into tokens, see `WordSplitter`.
            batch_size: How many are labelled at once; they are sorted by length before.
            n_best: How many label sequences of each sentence are told.

        Returns:
            Rows with `source` and `prediction` (tokens and labels, a blank between them), `score`
            (the logarithm of the probability of all labels together), `tokens`, `labels` and
            `token_probabilities`, those of the labels one by one; if they were asked for also
            `hypotheses`, each with `prediction`, `score` and `labels`.

        Raises:
            UserError: If a record lacks a column, or `n_best` is impossible.
        """
        if n_best is not None and n_best < 1:
            raise UserError(f"n_best: must be at least 1, got {n_best}.")
        records = [self._record(given, number) for number, given in enumerate(inputs, start=1)]
        rows = [self._row(record, [], 0.0) for record in records]
        search = self._search_of(model, n_best or 1)
        for chosen, batch in self._batches(search, records, batch_size):
            found = search(batch)
            for place, i in enumerate(chosen):
                rows[i] = self._labelled(records[i], place, found, several=n_best is not None)
        return rows

    def features(
        self, model: Tagger, inputs: Sequence[str | Record], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the final states of the encoder by name, see `Tagger.feature_model`."""
        records = [self._record(given, number) for number, given in enumerate(inputs, start=1)]
        batches = self._batches(self._search_of(model, 1), records, batch_size)
        return collected_features(model.feature_model, batches, len(records))

    def _batches(
        self, search: TaggerSearch, records: Sequence[Record], batch_size: int
    ) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Yields which records are read together, and what is read; each word is spelled once."""
        encoded = {
            name: spec.encoder.encode([record[spec.field] for record in records])
            for name, spec in self.tokenizer.columns_but_spelling().items()
        }
        spelled = {}
        if search.model.spelling_model is not None:
            tokens, encoded["spelling"] = numbered([record["tokens"] for record in records])
            spelled["spelled"] = search.spell(self.tokenizer.spelled(tokens))
        for chosen in by_length(range(len(records)), encoded["words"], batch_size):
            column = partial(padded_column, encoded, chosen)
            batch = self.tokenizer.inputs_but_spelling(column)
            if spelled:
                batch["spelling"] = column("spelling")[0]
            yield chosen, batch | spelled

    def _record(self, given: str | Sequence[str] | Record, number: int) -> Record:
        needed = self.tokenizer.settings["columns"]
        if isinstance(given, Mapping):
            check_record(given, ("tokens", *needed), place_of(given, number))
            return given
        if needed:
            raise UserError(
                f"record {number}: a text alone is not enough; the model reads tokens, "
                f"{', '.join(needed)}. Give a file in columns, or JSONL."
            )
        if isinstance(given, str):
            check_characters(given, f"input {number}: the text")
            return {"tokens": self._tokens(given), "source": given}
        if not isinstance(given, list | tuple):
            raise UserError(
                f"input {number}: needs a text, a list of tokens, or a record with the field "
                f"'tokens', not {type(given).__name__} ({given!r:.80})."
            )
        record = {"tokens": list(given)}
        check_record(record, ("tokens",), f"input {number}")
        return record

    def _tokens(self, text: str) -> list[str]:
        return [] if is_blank(text) else self.tokenizer.split.tokens(text)

    def _labelled(
        self, record: Record, place: int, found: Mapping[str, np.ndarray], several: bool
    ) -> Row:
        count = len(record["tokens"])
        hypotheses = [
            self._row(record, self.labels.decode(labels[:count].tolist()), float(score))
            for labels, score in zip(found["labels"][place], found["scores"][place], strict=True)
            if score > -np.inf
        ]
        probabilities = found["probabilities"][place, :count].astype(float).round(_DECIMALS)
        row = {**hypotheses[0], "token_probabilities": probabilities.tolist()}
        if several:
            kept = ("prediction", "score", "labels")
            row["hypotheses"] = [{name: each[name] for name in kept} for each in hypotheses]
        return row

    @staticmethod
    def _row(record: Record, labels: list[str], score: float) -> Row:
        tokens = record["tokens"]
        return {
            "source": record.get("source", " ".join(tokens)),
            "prediction": " ".join(labels),
            "score": score,
            "tokens": list(tokens),
            "labels": labels,
            "token_probabilities": [],
        }

    def _search_of(self, model: Tagger, count: int) -> TaggerSearch:
        """Returns the search with a model, kept from call to call."""
        if self._search is None or (self._search.model, self._search.count) != (model, count):
            self._search = TaggerSearch(model, count)
        return self._search

    @property
    def score_names(self) -> Sequence[str]:
        """Accuracies and, where labels mark spans, scores of spans."""
        spans = ENTITY_SCORES if self.labels.scheme is not None else ()
        return (*ACCURACIES, *spans)

    def evaluate(self, model: Tagger, records: Iterable[Record]) -> Evaluation:
        """Labels the tokens of records and scores the labels.

        Raises:
            UserError: If a label is none of the scheme, or there is not one for each token.
        """
        kept = [record for record, _ in self._checked(records)]
        rows = self.predict(model, kept)
        for row, record in zip(rows, kept, strict=True):
            row["reference"] = " ".join(record["labels"])
            row["reference_labels"] = list(record["labels"])  # which may hold blanks
        tokens = [row["tokens"] for row in rows]
        labels = [record["labels"] for record in kept], [row["labels"] for row in rows]
        known = [[self.tokenizer.is_known(token) for token in each] for each in tokens]
        scores = accuracies(*labels, known)
        tables = {"errors": frequent_errors(tokens, *labels), "confusions": confusions(*labels)}
        signatures = {}
        if self.labels.scheme is not None:
            entities, tables["entities"] = entity_scores(*labels, self.labels.scheme)
            scores |= entities
            signatures["f1"] = signature(self.labels.scheme)
        return Evaluation(rows, scores, signatures, tables)

    def figures(self, model: Tagger, evaluation: Evaluation) -> dict[str, Figure]:
        """Returns the confusion matrix of the labels."""
        table = evaluation.tables["confusions"]
        return {"confusion": confusion_matrix_figure(*confusion_counts(table))} if table else {}

    def save(self, folder: Path) -> None:
        """Writes the vocabularies, the labels and the layout of the data's files."""
        (folder / "tokenizer").mkdir()
        self.tokenizer.save(folder / "tokenizer" / "features.json")
        self.labels.save(folder / "labels.json")
        layout = None if self.format is None else asdict(self.format)
        (folder / "columns.json").write_text(json.dumps(layout), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        self.tokenizer = TokenFeatures.load(folder / "tokenizer" / "features.json")
        self.labels.load(folder / "labels.json")
        try:
            layout = parsed_json((folder / "columns.json").read_text(encoding="utf-8"))
            self.format = None if layout is None else ColumnFormat(**layout)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{folder / 'columns.json'} cannot be read: {error}.") from error


def padded_column(
    encoded: Mapping[str, Sequence[np.ndarray]], chosen: Sequence[int], column: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns some rows of an encoded column, padded, and their lengths."""
    return padded([encoded[column][i] for i in chosen])
