"""Translation: a sequence in, another sequence out."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seq2seq.data.batching import Batching
from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record, place_of
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.tokenizer import UNKNOWN, TokenizerPair
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.evaluation.text import check_metrics, score_texts
from seq2seq.models.translator import Translator
from seq2seq.plots.alignments import alignment_heatmap
from seq2seq.tasks.answers import Details, hypotheses, source_tokens
from seq2seq.tasks.base import Evaluation, Row, Task
from seq2seq.tasks.features import collected_features, text_batches
from seq2seq.tasks.inputs import checked_text, record_of, visible_ids
from seq2seq.tasks.padding import by_length, padded, teacher_forced
from seq2seq.tasks.phrases import constrained, constraints_of
from seq2seq.tasks.search import Scorer, Search, attends
from seq2seq.tasks.stored import StoredTask
from seq2seq.training.losses import TokenCrossEntropy

log = logging.getLogger(__name__)

SIDES = ("source", "target")
GRAPHS_KEPT = 8
PICTURES, PICTURED_LENGTH = 4, 240


class Translation(StoredTask):
    """Learns from pairs of `source` and `target`, and predicts targets.

    Args:
        tokenizer: The tokenizers of both sides.
        batching: How rows become batches.
        decoding: The search.
        label_smoothing: Share of probability given to the uniform distribution in training.
        consistency: Weight of the divergence between two readings of each training row, under two
            dropout masks, see `TokenCrossEntropy`; a step takes about twice as long.
        metrics: Names of the scores of predictions.
        bleu_tokenize: sacreBLEU's tokenizer; `none` for text that is tokenised already.
        replace_unknown: Whether an unknown word becomes the source word that it attends to; needs
            words as tokens, and an attention.

    Raises:
        UserError: If a metric or tokenizer is unknown.
        ValueError: If `label_smoothing` or `consistency` is impossible.
    """

    example_arguments: ClassVar[dict[str, Any]] = {
        "source_vocabulary_size": 5,
        "target_vocabulary_size": 5,
    }

    sorted_by: ClassVar[tuple[str, ...]] = SIDES
    signature: ClassVar[Any] = (
        {
            "source": tf.TensorSpec((None, None), tf.int32),
            "source_length": tf.TensorSpec((None,), tf.int32),
            "target": tf.TensorSpec((None, None), tf.int32),
        },
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None, None), tf.float32),
    )

    def __init__(
        self,
        tokenizer: TokenizerPair,
        batching: Batching,
        decoding: Strategy,
        label_smoothing: float = 0.0,
        consistency: float = 0.0,
        metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
        bleu_tokenize: str = "13a",
        replace_unknown: bool = False,
    ) -> None:
        check_metrics(metrics, bleu_tokenize)
        super().__init__(batching)
        self.tokenizer, self.decoding = tokenizer, decoding
        self.loss, self.consistency = TokenCrossEntropy(label_smoothing, consistency), consistency
        self.metrics, self.bleu_tokenize = list(metrics), bleu_tokenize
        self.replace_unknown = replace_unknown
        # Graphs are made once; a server must not keep those of every search it was asked for.
        self._search = lru_cache(GRAPHS_KEPT)(Search)
        self._scorer = lru_cache(GRAPHS_KEPT)(Scorer)

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the tokenizers of both sides."""
        self.tokenizer.fit(
            (record["source"] for record in data.records("train")),
            (record["target"] for record in data.records("train")),
        )
        sizes = self.tokenizer.source.size, self.tokenizer.target.size
        log.info("vocabularies: %s source, %s target", *(f"{size:,}" for size in sizes))

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns both sides' token ids; what is too long is not trained on."""
        limits = self.batching.maximum_length if split == "train" else {}
        return {
            side: ColumnSpec(
                side, getattr(self.tokenizer, side), limits.get(side), is_target=side == "target"
            )
            for side in SIDES
        }

    def epoch_columns(self, seed: int, epoch: int) -> dict[str, ColumnSpec] | None:
        """Returns both sides with merges left out at random, if the tokenizer is to do so."""
        columns = {
            side: spec._replace(encoder=getattr(self.tokenizer, side).for_training(seed, epoch))
            for side, spec in self.columns("train").items()
        }
        return None if columns == self.columns("train") else columns

    def describe_store(self, store: TokenStore) -> str:
        """Returns the share of unknown tokens of both sides."""
        unknown = [
            100 * np.mean(np.asarray(store.columns[side].tokens) == UNKNOWN) for side in SIDES
        ]
        return "; {:.2f} % / {:.2f} % unknown tokens".format(*unknown)

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of target tokens, end tokens included."""
        return int(store.lengths[rows, 1].sum()) + len(rows)

    def make_batch(
        self, store: TokenStore, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Returns the target twice: shifted by the start token to be read, and as labels."""
        source, source_length = store.padded("source", rows)
        target, target_length = store.padded("target", rows)
        inputs, labels, weights = teacher_forced(target, target_length)
        read = {"source": source, "source_length": source_length, "target": inputs}
        return read, labels, weights

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of both vocabularies."""
        return {
            "source_vocabulary_size": self.tokenizer.source.size,
            "target_vocabulary_size": self.tokenizer.target.size,
        }

    def predict(
        self,
        model: Translator | Sequence[Translator],
        inputs: Sequence[str | Mapping[str, Any]],
        batch_size: int = 64,
        decoding: Strategy | None = None,
        alignments: bool = False,
        token_scores: bool = False,
        replace_unknown: bool | None = None,
    ) -> list[Row]:
        """Translates sources; those with nothing to see in them get an empty translation.

        Args:
            model: The model, or several with the same vocabularies, which speak as one.
            inputs: Texts, or records with a `source` and with what constrains its translation:
                `prefix`, a text that it begins with; `required` and `forbidden`, lists of words or
                phrases; and `allowed`, the only words.
            batch_size: How many are translated at once; they are sorted by length before.
            decoding: Another search than the task's.
            alignments: Whether rows tell what each token attends to.
            token_scores: Whether rows tell the log-probability of each token.
            replace_unknown: Whether an unknown word becomes the source word that it attends to;
                None for what the task says.

        Returns:
            Rows with `source`, `prediction` and `score`, its log-probability; `target_tokens`,
            `token_scores`, `source_tokens` and `alignments` where asked for; and, where the search
            answers several, all `hypotheses`, each with the same but `source`.

        Raises:
            UserError: If the model cannot give what is asked for, or a record is wrong.
        """
        models = (model,) if isinstance(model, Translator) else tuple(model)
        decoding = decoding or self.decoding
        replace = self.replace_unknown if replace_unknown is None else replace_unknown
        self._check_attention(models, decoding, replace, alignments)
        details = Details(alignments, token_scores, replace)
        search = self._search(models, decoding, alignments or replace, token_scores)
        records = [record_of(each, number, "source") for number, each in enumerate(inputs, start=1)]
        ids = visible_ids(self.tokenizer.source, [record["source"] for record in records])
        empty = self._nothing(details)
        found: list[list[Row]] = [[{"prediction": "", "score": 0.0, **empty}] for _ in records]
        free = [i for i, record in enumerate(records) if not constrained(record)]
        bound = [i for i, record in enumerate(records) if constrained(record)]
        for chosen in (*by_length(free, ids, batch_size), *by_length(bound, ids, batch_size)):
            some = [records[i] for i in chosen]
            hold = constraints_of(some, self.tokenizer.target) if constrained(some[0]) else None
            source, lengths = padded([ids[i] for i in chosen])
            answer = search(source, lengths, np.array(chosen, np.int32), hold)
            sources = [
                source_tokens(records[i]["source"], ids[i], self.tokenizer.source) for i in chosen
            ]
            answers = hypotheses(answer, sources, self.tokenizer.target, details)
            for i, rows in zip(chosen, answers, strict=True):
                found[i] = rows
        return [
            {"source": record["source"], **rows[0]}
            | ({"hypotheses": rows} if decoding.several else {})
            for record, rows in zip(records, found, strict=True)
        ]

    def _nothing(self, details: Details) -> Row:
        """Returns the details of an empty translation of an empty source."""
        return details.of(
            np.zeros(0, np.int32), [], self.tokenizer.target, np.zeros(1), np.zeros((1, 0))
        )

    def score(
        self,
        model: Translator | Sequence[Translator],
        pairs: Sequence[Record],
        batch_size: int = 64,
        alignments: bool = False,
    ) -> list[Row]:
        """Returns how probable the model finds given targets.

        Args:
            model: As in `predict`.
            pairs: Records with `source` and `target`.
            batch_size: How many are scored at once; they are sorted by length before.
            alignments: Whether rows tell what each token attends to.

        Returns:
            Rows with `source`, `target`, `score` (the log-probability of all tokens and the end
            token), `target_tokens` and `token_scores`; and `source_tokens` and `alignments` where
            asked for.

        Raises:
            UserError: If the model has no attention to tell of.
        """
        models = (model,) if isinstance(model, Translator) else tuple(model)
        self._check_attention(models, None, False, alignments)
        scorer = self._scorer(models, alignments)
        details = Details(alignments, token_scores=True)
        rows: list[Row] = [_sides(pair, number) for number, pair in enumerate(pairs, start=1)]
        sources = visible_ids(self.tokenizer.source, [row["source"] for row in rows])
        targets = visible_ids(self.tokenizer.target, [row["target"] for row in rows])
        empty = self._nothing(details)
        scored = [i for i, _ in enumerate(rows) if len(sources[i]) or len(targets[i])]
        for i in set(range(len(rows))) - set(scored):  # what `predict` says to such a source
            rows[i] |= {"score": 0.0, **empty}
        for chosen in by_length(scored, targets, batch_size, least=0):
            source, source_length = padded([sources[i] for i in chosen])
            target, target_length = padded([targets[i] for i in chosen])
            inputs, labels, weights = teacher_forced(target, target_length)
            found = scorer(source, source_length, inputs, labels)
            scores = found.token_scores.numpy() * weights
            weighed = None if found.alignments is None else found.alignments.numpy()
            for row, i in enumerate(chosen):
                tokens = source_tokens(rows[i]["source"], sources[i], self.tokenizer.source)
                attended = None if weighed is None else weighed[row]
                rows[i]["score"] = float(scores[row].sum())
                rows[i].update(
                    details.of(targets[i], tokens, self.tokenizer.target, scores[row], attended)
                )
        return rows

    def check_model(self, model: Translator) -> None:
        """Refuses settings that need an attention or dropout, where there is none."""
        if self.consistency and not model.drops:
            raise UserError(
                "task.consistency: compares what the model says under two dropout masks, and there "
                "is no dropout; set model.output_dropout, model.encoder.dropout or another."
            )
        if self.consistency and model.copy_gate is not None:
            raise UserError("task.consistency: is not for model.copy=true; leave one of them out.")
        self._check_attention((model,), self.decoding, self.replace_unknown, alignments=False)

    def _check_attention(
        self,
        models: Sequence[Translator],
        decoding: Strategy | None,
        replace_unknown: bool,
        alignments: bool,
    ) -> None:
        sides = self.tokenizer.source, self.tokenizer.target
        if replace_unknown and any(side.settings["kind"] != "word" for side in sides):
            raise UserError(
                "replace_unknown: needs tokenizer=word; what other tokenizers write has no unknown "
                "words."
            )
        wanted = {
            "replace_unknown": replace_unknown,
            "coverage_penalty": decoding is not None and decoding.needs_coverage,
            "alignments": alignments,
        }
        for name, needed in wanted.items():
            if needed and not attends(models):
                raise UserError(
                    f"{name}: the model has no attention; train one with model/attention=luong."
                )

    def check_ensemble(self, others: Sequence[Task]) -> None:
        """Refuses runs whose vocabularies are not this one's."""
        own = self.tokenizer.source.fingerprint, self.tokenizer.target.fingerprint
        for other in others:
            if not isinstance(other, Translation) or own != (
                other.tokenizer.source.fingerprint,
                other.tokenizer.target.fingerprint,
            ):
                raise UserError(
                    "The runs of an ensemble need the same vocabularies: train them on the same "
                    "data with the same tokenizer, and other seeds or models."
                )

    def features(
        self, model: Translator, inputs: Sequence[str | Record], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the final states of the encoder by name, see `Translator.feature_model`."""
        texts = [record_of(each, n, "source")["source"] for n, each in enumerate(inputs, start=1)]
        ids = {"source": visible_ids(self.tokenizer.source, texts)}
        return collected_features(model.feature_model, text_batches(ids, batch_size), len(texts))

    @property
    def score_names(self) -> Sequence[str]:
        """The metrics of the config."""
        return self.metrics

    def evaluate(self, model: Translator, records: Iterable[Record]) -> Evaluation:
        """Translates the sources of records and scores them against their targets."""
        kept = list(records)
        rows = self.predict(model, [record["source"] for record in kept])
        references = [record["target"] for record in kept]
        predictions = [row["prediction"] for row in rows]
        scores = score_texts(predictions, references, self.metrics, self.bleu_tokenize)
        for row, reference in zip(rows, references, strict=True):
            row["reference"] = reference
        return Evaluation(rows, scores.values, scores.signatures)

    def figures(self, model: Translator, evaluation: Evaluation) -> dict[str, Figure]:
        """Returns what the first predictions that fit on a picture attend to, as heat maps."""
        if not attends((model,)):
            return {}
        short = (
            {"source": row["source"], "target": row["prediction"]}
            for row in evaluation.rows
            if row["prediction"] and len(row["source"]) + len(row["prediction"]) <= PICTURED_LENGTH
        )
        scored = self.score(model, list(islice(short, PICTURES)), alignments=True)
        return {
            f"alignment_{number}": alignment_heatmap(
                row["alignments"], row["source_tokens"], row["target_tokens"]
            )
            for number, row in enumerate(scored, start=1)
        }

    def save(self, folder: Path) -> None:
        """Writes the tokenizers."""
        (folder / "tokenizer").mkdir()
        self.tokenizer.save(folder / "tokenizer")

    def load(self, folder: Path) -> None:
        """Reads the tokenizers."""
        self.tokenizer = TokenizerPair.load(folder / "tokenizer")


def _sides(pair: Any, number: int) -> Row:
    """Returns source and target of a pair.

    Raises:
        UserError: If it is no record of both.
    """
    record = record_of(pair, number, "source")
    return {side: checked_text(record, side, place_of(record, number)) for side in SIDES}
