"""Prediction of labels: the most probable label sequences, features, states."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import Record, place_of
from seq2seq.data.tokenizers.token_features import distinct_with_indices
from seq2seq.errors import UserError
from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.models.tagger import Tagger
from seq2seq.prediction_rows import TagRow
from seq2seq.tasks.inputs import check_observable
from seq2seq.tasks.observation import Observation
from seq2seq.tasks.padding import Batches, by_length, padded
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.tasks.tagging.data import TaggingData, check_lists
from seq2seq.tasks.tagging.search import TaggerSearch

_DECIMALS = 6


class TaggingPrediction(TaggingData):
    """The prediction part of `Tagging`."""

    prediction_options = frozenset({"n_best"})
    _search: TaggerSearch | None = None

    def predict_rows(
        self, model: Tagger, inputs: Sequence[str | Record], options: PredictionOptions
    ) -> list[TagRow]:
        """Labels sentences.

        Inputs are records with `tokens` and the further columns of the model; lists of tokens; or
        raw sentences, which are split into tokens, see `WordSplitter`.

        Returns:
            Rows with `source` and `prediction` (tokens and labels, a blank between them), `score`
            (the logarithm of the probability of all labels together), `tokens`, `labels` and
            `token_probabilities`, those of the labels one by one; and, with `n_best`, `hypotheses`,
            each with `prediction`, `score` and `labels`.

        Raises:
            UserError: If a record lacks a column, or `n_best` is impossible.
        """
        n_best = options.n_best
        if n_best is not None and n_best < 1:
            raise UserError(f"n_best: must be at least 1, got {n_best}.")
        records = [self._record(example, number) for number, example in enumerate(inputs, start=1)]
        rows = [_row(record, [], 0.0) for record in records]
        search = self._search_of(model, n_best or 1)
        for numbers, batch in self._batches(search, records, options.batch_size):
            result = search(batch)
            for place, i in enumerate(numbers):
                values = {name: part[place] for name, part in result.items()}
                rows[i] = self._labelled(records[i], values, has_several=n_best is not None)
        return rows

    def feature_batches(
        self, model: Tagger, inputs: Sequence[str | Record], batch_size: int
    ) -> Batches:
        """Yields sentences."""
        records = [self._record(example, number) for number, example in enumerate(inputs, start=1)]
        return self._batches(self._search_of(model, 1), records, batch_size)

    def observe(self, model: Tagger, example: Any, target: str | None = None) -> Observation:
        """Observes the encoder."""
        row = self.predict(model, [example])[0]
        check_observable(row["source"], row["tokens"])
        [(_, batch)] = self.feature_batches(model, [example], 1)
        with recorded_calls() as calls:
            inputs = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
            model.prediction_model(inputs, training=False)
        tokens = {"encoder": list(row["tokens"])}
        return Observation(row["source"], row["prediction"], tokens, calls)

    def _batches(self, search: TaggerSearch, records: Sequence[Record], batch_size: int) -> Batches:
        """Yields record numbers and the model's inputs; each word is spelled once."""
        encoded = {
            name: spec.encoder.encode([record[spec.field] for record in records])
            for name, spec in self.tokenizer.store_columns_without_characters().items()
        }
        spelled = {}
        if search.model.spelling_model is not None:
            tokens, encoded["spelling"] = distinct_with_indices(
                [record["tokens"] for record in records]
            )
            spelled["spelled"] = search.spell(self.tokenizer.character_ids(tokens))
        for numbers in by_length(range(len(records)), encoded["words"], batch_size):
            columns = {name: padded([ids[i] for i in numbers]) for name, ids in encoded.items()}
            batch = self.tokenizer.inputs_without_characters(columns.__getitem__)
            if spelled:
                batch["spelling"] = columns["spelling"][0]
            yield numbers, batch | spelled

    def _record(self, example: str | Sequence[str] | Record, number: int) -> Record:
        columns = self.tokenizer.settings["columns"]
        if isinstance(example, Mapping):
            check_lists(example, ("tokens", *columns), place_of(example, number))
            return example
        if columns:
            raise UserError(
                f"record {number}: a text alone is not enough; the model reads tokens, "
                f"{', '.join(columns)}. Give a file in columns, or JSONL."
            )
        if isinstance(example, str):
            check_characters(example, f"input {number}: the text")
            tokens = [] if is_blank(example) else self.tokenizer.split.tokens(example)
            return {"tokens": tokens, "source": example}
        if not isinstance(example, list | tuple):
            raise UserError(
                f"input {number}: needs a text, a list of tokens, or a record with the field "
                f"'tokens', not {type(example).__name__} ({example!r:.80})."
            )
        record = {"tokens": list(example)}
        check_lists(record, ("tokens",), f"input {number}")
        return record

    def _labelled(
        self, record: Record, result: Mapping[str, np.ndarray], has_several: bool
    ) -> TagRow:
        count = len(record["tokens"])
        hypotheses = [
            _row(record, self.labels.decode(labels[:count].tolist()), float(score))
            for labels, score in zip(result["labels"], result["scores"], strict=True)
            if score > -np.inf
        ]
        probabilities = result["probabilities"][:count].astype(float).round(_DECIMALS)
        row: TagRow = {**hypotheses[0], "token_probabilities": probabilities.tolist()}
        if has_several:
            row["hypotheses"] = [
                {"prediction": h["prediction"], "score": h["score"], "labels": h["labels"]}
                for h in hypotheses
            ]
        return row

    def _search_of(self, model: Tagger, count: int) -> TaggerSearch:
        """Returns the search with a model, cached from call to call."""
        if self._search is None or (self._search.model, self._search.count) != (model, count):
            self._search = TaggerSearch(model, count)
        return self._search


def _row(record: Record, labels: list[str], score: float) -> TagRow:
    tokens = record["tokens"]
    return {
        "source": record.get("source", " ".join(tokens)),
        "prediction": " ".join(labels),
        "score": score,
        "tokens": list(tokens),
        "labels": labels,
        "token_probabilities": [],
    }
