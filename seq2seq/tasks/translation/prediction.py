"""Prediction of translations: search, scores of given targets, features, states."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from seq2seq.data.records import Record, place_of
from seq2seq.data.tokenizers.tokenizer import START
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.models.base import ensemble_of
from seq2seq.models.translator import Translator
from seq2seq.prediction_rows import Hypothesis, ScoredPair, TextRow, TokenOutputs
from seq2seq.tasks.base import Task
from seq2seq.tasks.inputs import (
    check_observable,
    checked_text,
    record_of,
    records_of,
    source_tokens,
    visible_ids,
)
from seq2seq.tasks.observation import Observation
from seq2seq.tasks.padding import Batches, by_length, padded, teacher_forced, text_batches
from seq2seq.tasks.prediction_options import DEFAULTS, PredictionOptions
from seq2seq.tasks.translation.constraints import constrained, constraints_of, named_tokens
from seq2seq.tasks.translation.data import SIDES, TranslationData
from seq2seq.tasks.translation.hypotheses import extra_outputs, hypothesis_rows
from seq2seq.tasks.translation.search import Scorer, Search, attends


class TranslationPrediction(TranslationData):
    """The prediction part of `Translation`."""

    replace_unknown: bool
    prediction_options = frozenset({"decoding", "alignments", "token_scores", "replace_unknown"})
    takes_target = True
    # Compiled graphs are cached, but a server must not keep those of every requested search.
    _search: Callable[..., Search]
    _scorer: Callable[..., Scorer]

    def predict_rows(
        self,
        model: Translator | Sequence[Translator],
        inputs: Sequence[str | Record],
        options: PredictionOptions,
    ) -> list[TextRow]:
        """Translates sources; those without a visible character get an empty translation.

        Inputs are texts, or records with a `source` and constraints of its translation: `prefix`, a
        text that it begins with; `required` and `forbidden`, lists of words or phrases; and
        `allowed`, the only words. Models of an ensemble need the same vocabularies.

        Returns:
            Rows with `source`, `prediction` and `score`, its log-probability; `target_tokens`,
            `token_scores`, `source_tokens` and `alignments` if requested; and, where the search
            returns several, all `hypotheses`, each with the same but `source`.

        Raises:
            UserError: If the model has no attention for an option, or a record is wrong.
        """
        models, decoding = ensemble_of(model), options.decoding or self.decoding
        if options.replace_unknown is None:
            options = replace(options, replace_unknown=self.replace_unknown)
        self.check_attention(models, options, decoding)
        needs_alignments = options.alignments or bool(options.replace_unknown)
        search = self._search(models, decoding, needs_alignments, options.token_scores)
        records = records_of(inputs)
        ids = visible_ids(self.tokenizer.source, [record["source"] for record in records])
        empty: Hypothesis = {"prediction": "", "score": 0.0, **self._empty_outputs(options)}
        hypotheses = [[empty] for _ in records]
        for is_bound in (False, True):  # searches without constraints have a faster graph
            numbers = [i for i, record in enumerate(records) if constrained(record) is is_bound]
            for batch in by_length(numbers, ids, options.batch_size):
                bound = [records[i] for i in batch]
                constraints = constraints_of(bound, self.tokenizer.target) if is_bound else None
                sources = [ids[i] for i in batch]
                shortlist = self._shortlist(models, decoding, sources, bound, constraints)
                source, lengths = padded(sources)
                keys = np.array(batch, np.int32) + np.int32(options.first_number)
                result = search(source, lengths, keys, constraints, shortlist)
                pieces = [
                    source_tokens(records[i]["source"], ids[i], self.tokenizer.source)
                    for i in batch
                ]
                translations = hypothesis_rows(result, pieces, self.tokenizer.target, options)
                for i, source_hypotheses in zip(batch, translations, strict=True):
                    hypotheses[i] = source_hypotheses
        rows: list[TextRow] = []
        for record, row_hypotheses in zip(records, hypotheses, strict=True):
            rows.append(cast(TextRow, {"source": record["source"], **row_hypotheses[0]}))
            if decoding.returns_multiple:
                rows[-1]["hypotheses"] = row_hypotheses
        return rows

    def _shortlist(
        self,
        models: Sequence[Translator],
        decoding: Strategy,
        sources: Sequence[np.ndarray],
        records: Sequence[Record],
        constraints: Constraints | None,
    ) -> np.ndarray | None:
        """Returns the target tokens of a batch's search; None for all of the vocabulary."""
        if not decoding.shortlist:
            return None
        if self.lexical_table is None:
            raise UserError(
                "decoding.shortlist: the run has no lexical table, as it is of an older version; "
                "`seq2seq train resume=RUN` of the finished run adds one."
            )
        further = [] if constraints is None else [named_tokens(records, constraints)]
        if any(model.copy_gate is not None for model in models):
            further.extend(sources)
        return self.lexical_table.shortlist(sources, decoding.shortlist, further)

    def _empty_outputs(self, options: PredictionOptions) -> TokenOutputs:
        """Returns the extra outputs of an empty translation of an empty source."""
        no_ids, target = np.zeros(0, np.int32), self.tokenizer.target
        return extra_outputs(options, no_ids, [], target, np.zeros(1), np.zeros((1, 0)))

    def score(
        self,
        model: Translator | Sequence[Translator],
        pairs: Sequence[Record],
        options: PredictionOptions = DEFAULTS,
    ) -> list[ScoredPair]:
        """Returns how probable the model finds given targets."""
        self.check_options(options, ("alignments",))
        models = ensemble_of(model)
        self.check_attention(models, options)
        scorer = self._scorer(models, options.alignments)
        options = replace(options, token_scores=True)
        rows = [_unscored(pair, number) for number, pair in enumerate(pairs, start=1)]
        sources = visible_ids(self.tokenizer.source, [row["source"] for row in rows])
        targets = visible_ids(self.tokenizer.target, [row["target"] for row in rows])
        visible = [i for i, _ in enumerate(rows) if len(sources[i]) or len(targets[i])]
        for i in set(range(len(rows))) - set(visible):  # as `predict` answers such a source
            rows[i].update(cast(ScoredPair, self._empty_outputs(options)))
        for batch in by_length(visible, targets, options.batch_size, least=0):
            source, source_length = padded([sources[i] for i in batch])
            target, labels, weights = teacher_forced(*padded([targets[i] for i in batch]))
            result = scorer(source, source_length, target, labels)
            scores = result.token_scores.numpy() * weights
            alignments = None if result.alignments is None else result.alignments.numpy()
            for place, i in enumerate(batch):
                tokens = source_tokens(rows[i]["source"], sources[i], self.tokenizer.source)
                weights_of_row = None if alignments is None else alignments[place]
                rows[i]["score"] = float(scores[place].sum())
                outputs = extra_outputs(
                    options, targets[i], tokens, self.tokenizer.target, scores[place],
                    weights_of_row,
                )  # fmt: skip
                rows[i].update(cast(ScoredPair, outputs))
        return rows

    def check_attention(
        self,
        models: Sequence[Translator],
        options: PredictionOptions,
        decoding: Strategy | None = None,
    ) -> None:
        """Refuses options that need an attention, or words as tokens, where there are none.

        Raises:
            UserError: If there is one.
        """
        sides = self.tokenizer.source, self.tokenizer.target
        if options.replace_unknown and any(side.settings["kind"] != "word" for side in sides):
            raise UserError(
                "replace_unknown: needs tokenizer=word; other tokenizers have no unknown words."
            )
        needs_attention = {
            "replace_unknown": options.replace_unknown,
            "coverage_penalty": decoding is not None and decoding.needs_coverage,
            "alignments": options.alignments,
        }
        for name, needed in needs_attention.items():
            if needed and not attends(models):
                raise UserError(
                    f"{name}: the model has no attention; train one with model/attention=luong."
                )

    def check_ensemble(self, others: Sequence[Task[Any, Any]]) -> None:
        """Refuses runs with other vocabularies."""
        own = self.tokenizer.source.fingerprint, self.tokenizer.target.fingerprint
        for other in others:
            if not isinstance(other, TranslationPrediction) or own != (
                other.tokenizer.source.fingerprint,
                other.tokenizer.target.fingerprint,
            ):
                raise UserError(
                    "The runs of an ensemble need the same vocabularies: train them on the same "
                    "data with the same tokenizer, and other seeds or models."
                )

    def feature_batches(
        self, model: Translator, inputs: Sequence[str | Record], batch_size: int
    ) -> Batches:
        """Yields sources."""
        texts = [record["source"] for record in records_of(inputs)]
        return text_batches({"source": visible_ids(self.tokenizer.source, texts)}, batch_size)

    def observe(self, model: Translator, example: Any, target: str | None = None) -> Observation:
        """Observes encoder and decoder; the decoder reads the target, or its own prediction."""
        text = record_of(example, 1, "source")["source"]
        if target is None:
            target = self.predict(model, [example])[0]["prediction"]
        ids = self.tokenizer.source.encode([text])
        encoder = source_tokens(text, ids[0], self.tokenizer.source)
        check_observable(text, encoder)
        if model.reverse_source is not None:
            encoder.reverse()
        target_ids = np.append(START, self.tokenizer.target.encode([target])[0])
        source, source_length = padded(ids)
        inputs = {"source": source, "source_length": source_length}
        with recorded_calls() as calls:
            model.training_model({**inputs, "target": padded([target_ids])[0]})
        decoder = self.tokenizer.target.pieces(target_ids.tolist())
        return Observation(text, target, {"encoder": encoder, "decoder": decoder}, calls)

    def observed_parts(self, record: Record) -> tuple[Any, str | None]:
        """Returns source and reference."""
        return record["source"], record["target"]


def _unscored(pair: Any, number: int) -> ScoredPair:
    """Returns a pair with the score 0; raises UserError if it is no record of source and target."""
    record = record_of(pair, number, "source")
    source, target = (checked_text(record, side, place_of(record, number)) for side in SIDES)
    return {"source": source, "target": target, "score": 0.0}
