"""Translation: a sequence in, another sequence out."""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from seq2seq.data.batching import Batching
from seq2seq.data.datasets import Dataset, Record
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers import END, START, UNKNOWN, TokenizerPair
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.decoding.strategy import Strategy
from seq2seq.evaluation.text import check_metrics, score_texts
from seq2seq.models.translator import Translator
from seq2seq.tasks.base import Evaluation, Row
from seq2seq.tasks.stored import StoredTask
from seq2seq.training.losses import TokenCrossEntropy

log = logging.getLogger(__name__)

SIDES = ("source", "target")


class Translation(StoredTask):
    """Learns from pairs of `source` and `target`, and predicts targets.

    Args:
        tokenizer: The tokenizers of both sides.
        batching: How rows become batches.
        decoding: The search.
        label_smoothing: Share of probability given to the uniform distribution in training.
        metrics: Names of the scores of predictions.
        bleu_tokenize: sacreBLEU's tokenizer; `none` for text that is tokenised already.

    Raises:
        UserError: If a metric or tokenizer is unknown.
        ValueError: If `label_smoothing` is impossible.
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
        metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
        bleu_tokenize: str = "13a",
    ) -> None:
        check_metrics(metrics, bleu_tokenize)
        super().__init__(batching)
        self.tokenizer, self.decoding = tokenizer, decoding
        self.loss = TokenCrossEntropy(label_smoothing)
        self.metrics, self.bleu_tokenize = list(metrics), bleu_tokenize
        self._search: tuple[Translator, Callable[..., Hypotheses]] | None = None

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
            side: ColumnSpec(side, getattr(self.tokenizer, side), limits.get(side))
            for side in SIDES
        }

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
        inputs = np.pad(target, ((0, 0), (1, 0)), constant_values=START)
        labels = np.pad(target, ((0, 0), (0, 1)))
        labels[np.arange(len(rows)), target_length] = END
        weights = np.arange(labels.shape[1]) <= target_length[:, None]
        return (
            {"source": source, "source_length": source_length, "target": inputs},
            labels,
            weights.astype(np.float32),
        )

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of both vocabularies."""
        return {
            "source_vocabulary_size": self.tokenizer.source.size,
            "target_vocabulary_size": self.tokenizer.target.size,
        }

    def predict(self, model: Translator, texts: Sequence[str], batch_size: int = 64) -> list[Row]:
        """Translates texts; those without any token get an empty translation.

        Args:
            model: The model.
            texts: The sources.
            batch_size: How many are translated at once; they are sorted by length before.

        Returns:
            Rows with `source`, `prediction` and `score`, its log-probability; and, where the search
            was asked for several, all `hypotheses`, each with `prediction` and `score`.
        """
        search = self._compiled(model)
        rows: list[Row] = [{"source": t, "prediction": "", "score": 0.0} for t in texts]
        ids = self.tokenizer.source.encode(texts)
        order = sorted((i for i in range(len(ids)) if len(ids[i])), key=lambda i: len(ids[i]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            lengths = np.array([len(ids[i]) for i in chosen], np.int32)
            source = np.zeros((len(chosen), lengths.max()), np.int32)
            for row, i in enumerate(chosen):
                source[row, : lengths[row]] = ids[i]
            found = search(source, lengths, np.array(chosen, np.int32))
            for i, hypotheses in zip(chosen, self._texts(found), strict=True):
                rows[i].update(hypotheses[0])
                if found.scores.shape.rank > 1:
                    rows[i]["hypotheses"] = hypotheses
        return rows

    def _texts(self, found: Hypotheses) -> list[list[Row]]:
        """Returns the `prediction` and `score` of all hypotheses of each source."""
        sources = len(found.scores)
        tokens = found.tokens.numpy()
        tokens = tokens.reshape(-1, tokens.shape[-1])
        counts, scores = found.lengths.numpy().ravel(), found.scores.numpy().ravel()
        texts = self.tokenizer.target.decode(
            row[:count].tolist() for row, count in zip(tokens, counts, strict=True)
        )
        width = len(texts) // sources
        found_rows = zip(texts, scores.tolist(), strict=True)
        several = [list(islice(found_rows, width)) for _ in range(sources)]
        return [
            [{"prediction": text, "score": score} for text, score in each if score > -np.inf]
            for each in several
        ]

    def _compiled(self, model: Translator) -> Callable[..., Hypotheses]:
        """Returns the search as one graph, traced once for each model."""
        if self._search is None or self._search[0] is not model:
            self._search = (model, compile_search(model, self.decoding))
        return self._search[1]

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

    def save(self, folder: Path) -> None:
        """Writes the tokenizers."""
        (folder / "tokenizer").mkdir()
        self.tokenizer.save(folder / "tokenizer")

    def load(self, folder: Path) -> None:
        """Reads the tokenizers."""
        self.tokenizer = TokenizerPair.load(folder / "tokenizer")


def compile_search(model: Translator, decoding: Strategy) -> Callable[..., Hypotheses]:
    """Puts encoder, decoder and search into one graph, for any batch size and length.

    Args:
        model: The translator.
        decoding: The search.

    Returns:
        A function of source ids `(batch, source_length)`, lengths `(batch,)` and keys `(batch,)`,
        which tell sampling the rows apart.
    """

    def step(tokens: tf.Tensor, states: Any, *memory: Any) -> tuple[tf.Tensor, ...]:
        inputs = {"target": tokens[:, tf.newaxis], "states": states}
        if not memory:
            outputs = model.decoder_model(inputs)
            return outputs["logits"][:, 0], outputs["states"]
        outputs = model.decoder_model({**inputs, "memory": memory[0]})
        return outputs["logits"][:, 0], outputs["states"], outputs["alignments"][:, 0]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
        ],
        autograph=False,
    )
    def search(source: tf.Tensor, source_length: tf.Tensor, keys: tf.Tensor) -> Hypotheses:
        start = model.encoder_model({"source": source, "source_length": source_length})
        return decoding(
            step,
            start["states"],
            source_length,
            START,
            END,
            memory=start.get("memory"),
            keys=keys,
        )

    return search
