"""The data of tagging: features of tokens, a label for each, and the layout of column files."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.batching import Batching
from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.conll import ColumnFormat, Conll
from seq2seq.data.formats.json_lines import check_characters, parsed_json
from seq2seq.data.labels.token_labels import TokenLabels
from seq2seq.data.records import Record, place_of
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.token_features import TokenFeatures
from seq2seq.errors import UserError
from seq2seq.models.tagger import Tagger
from seq2seq.prediction_rows import TagRow
from seq2seq.tasks.base import Task
from seq2seq.tasks.observation import InputVocabulary
from seq2seq.tasks.task_data import Batch

log = logging.getLogger(__name__)

_MOST_PLACES = 5


class TaggingData(Task[Tagger, TagRow]):
    """The data part of `Tagging`."""

    tokenizer: TokenFeatures
    labels: TokenLabels
    batching: Batching
    format: ColumnFormat | None = None
    sorted_by = ("words",)
    _vectors: np.ndarray | None = None

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the vocabularies; checks the labels of all splits."""
        self.format = data.measured_format("train") if isinstance(data, Conll) else None
        counts: Counter[str] = Counter()

        def training_records() -> Iterator[Record]:
            for record, labels in self.checked(data.records("train")):
                counts.update(labels)
                yield record

        self._vectors = self.tokenizer.fit(training_records())
        self.labels.fit(counts)
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

    def checked(self, records: Iterable[Record]) -> Iterator[tuple[Record, list[str]]]:
        """Yields records with their labels in the scheme that the model learns.

        Raises:
            UserError: If a label is not in the scheme, or there is not one for each token.
        """
        for number, record in enumerate(records, start=1):
            place = place_of(record, number)
            check_lists(record, ("tokens", "labels", *self.tokenizer.settings["columns"]), place)
            try:
                yield record, self.labels.to_train_scheme(record["labels"])
            except ValueError as error:
                raise UserError(f"{place}: task.scheme: {error}.") from error

    def _report_unseen(self, split: str, records: Iterable[Record]) -> None:
        unseen: Counter[str] = Counter()
        places: dict[str, str] = {}
        for number, (record, labels) in enumerate(self.checked(records), start=1):
            for label in labels:
                if label not in self.labels:
                    unseen[label] += 1
                    places.setdefault(label, place_of(record, number))
        if unseen:
            shown = ", ".join(f"{label} ({places[label]})" for label in list(unseen)[:_MOST_PLACES])
            log.warning(
                "%s: %d token(s) of %d label(s) that training does not have: they count as errors "
                "and not in the loss: %s%s",
                split, unseen.total(), len(unseen), shown,
                ", ..." if len(unseen) > _MOST_PLACES else "",
            )  # fmt: skip

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns the features of the tokens, and the labels; training leaves out what is long."""
        limits = self.batching.maximum_length if split == "train" else {}
        columns = self.tokenizer.store_columns()
        words = columns["words"]._replace(maximum_length=limits.get("tokens"))
        return {
            **columns,
            "words": words._replace(empty="without tokens"),
            "labels": ColumnSpec("labels", self.labels, is_target=True),
        }

    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns features, labels, and the weights of real tokens."""
        inputs = self.tokenizer.inputs(lambda column: store.padded(column, rows))
        labels, lengths = store.padded("labels", rows)
        is_real = np.arange(labels.shape[1]) < lengths[:, None]
        is_real &= (labels >= 0).all(axis=1, keepdims=True)
        return inputs, labels, is_real.astype(np.float32)

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns the words of each row, as decoded from their ids, and their labels."""
        pieces = self.tokenizer.word_pieces
        texts = []
        for words, row in zip(inputs["words"], labels, strict=True):
            length = np.count_nonzero(words)
            names = [self.labels.names[i] if i >= 0 else "<unk>" for i in row[:length]]
            texts.append(f"{' '.join(pieces[i] for i in words[:length])} -> {' '.join(names)}")
        return texts

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of tokens."""
        return int(self.lengths(store)[rows].sum())

    @property
    def example_arguments(self) -> dict[str, Any]:
        """Small vocabularies of what the tokenizer's settings read."""
        settings = self.tokenizer.settings
        characters = 5 if settings["characters"] else 0
        vectors = None if settings["vectors"] is None else [3, 2]
        sizes = {"words": 5, "characters": characters, "columns": {}, "vectors": vectors}
        return {"sizes": sizes, "labels": 3}

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of the vocabularies, and the transitions that the scheme allows."""
        return {
            "sizes": self.tokenizer.sizes,
            "labels": len(self.labels.names),
            "allowed": self.labels.allowed,
        }

    def initialize(self, model: Tagger) -> None:
        """Sets the pretrained vectors."""
        if self._vectors is not None:
            model.set_vectors(self._vectors)

    def label_names(self) -> list[str]:
        """Returns the labels of the training data."""
        return list(self.labels.names)

    def input_vocabulary(self) -> InputVocabulary:
        """Returns the words."""
        return InputVocabulary("word", self.tokenizer.word_pieces)

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


def check_lists(record: Record, fields: Iterable[str], place: str) -> None:
    """Checks that fields of a record are lists of texts, as many as there are tokens.

    Raises:
        UserError: If they are not.
    """
    for field in fields:
        value = record.get(field)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise UserError(
                f"{place}: needs a list of texts in the field {field!r}; the record has "
                f"{', '.join(map(str, record)) or 'none'}."
            )
        for text in value:
            check_characters(text, f"{place}: the field {field!r}")
        if len(value) != len(record["tokens"]):
            raise UserError(
                f"{place}: {len(record['tokens'])} tokens, but {len(value)} {field}: each token "
                "needs one."
            )
