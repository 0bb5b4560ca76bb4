"""The data of translation: token ids of both sides, and batches with shifted targets."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.batching import Batching
from seq2seq.data.dataset import Dataset
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.tokenizer import TokenizerPair
from seq2seq.data.word_alignments import Links, WordNumbers, token_alignments
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.models.translator import Translator
from seq2seq.prediction_rows import TextRow
from seq2seq.progress import step
from seq2seq.tasks.base import Task
from seq2seq.tasks.observation import InputVocabulary
from seq2seq.tasks.padding import teacher_forced
from seq2seq.tasks.task_data import Batch
from seq2seq.tasks.translation.lexical_table import LexicalTable
from seq2seq.tasks.vocabularies import TokenizerVocabulary, Vocabulary

log = logging.getLogger(__name__)

SIDES = ("source", "target")
LEXICAL_TABLE = "lexical_table.npz"


class TranslationData(Task[Translator, TextRow]):
    """The data part of `Translation`."""

    tokenizer: TokenizerPair
    batching: Batching
    decoding: Strategy
    lexical_table: LexicalTable | None = None
    is_guided: bool = False
    sorted_by = SIDES

    def prepare(self, data: Dataset, seed: int, saved: Path | None = None) -> None:
        """Prepares as `Task.prepare`, and learns the lexical table if evaluations need it.

        Raises:
            UserError: If guided alignment lacks alignments, or alignments lack it.
        """
        self._check_alignments(data)
        super().prepare(data, seed, saved)
        self.lexical_table = None  # not that of the run whose tokenizers are used
        if self.decoding.shortlist:
            self._learn_lexical_table()

    def _check_alignments(self, data: Dataset) -> None:
        if self.is_guided and not data.has_alignments:
            raise UserError(
                "task.guided_alignment: learns from word alignments of the training pairs; give "
                "their file with data=parallel_text, data.alignments=train.align."
            )
        if data.has_alignments and not self.is_guided:
            raise UserError(
                "data.alignments: are for guided alignment, whose weight is 0; set it, such as "
                "task.guided_alignment=0.5, or leave the alignments out."
            )

    def _learn_lexical_table(self) -> None:
        sizes = self.tokenizer.source.size, self.tokenizer.target.size
        columns = self.stores["train"].columns
        with step("learning the lexical table"):
            self.lexical_table = LexicalTable.learn(columns["source"], columns["target"], sizes)

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the tokenizers of both sides."""
        self.tokenizer.fit_once(
            data.fingerprint("train"),
            lambda side: (record[side] for record in data.records("train")),
        )
        sizes = self.tokenizer.source.size, self.tokenizer.target.size
        log.info("vocabularies: %s source, %s target", *(f"{size:,}" for size in sizes))

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns the token ids of both sides; training leaves out what is too long.

        With guided alignment, `train` also has the alignments and the word of each token.
        """
        limits = self.batching.maximum_length if split == "train" else {}
        source, target = self.tokenizer.source, self.tokenizer.target
        columns = {
            "source": ColumnSpec("source", source, limits.get("source")),
            "target": ColumnSpec("target", target, limits.get("target"), is_target=True),
        }
        if self.is_guided and split == "train":
            columns |= {
                "alignment": ColumnSpec("alignment", Links(), may_be_empty=True, is_target=True),
                "source_words": ColumnSpec("source", WordNumbers(source)),
                "target_words": ColumnSpec("target", WordNumbers(target), is_target=True),
            }
        return columns

    def epoch_columns(self, seed: int, epoch: int) -> dict[str, ColumnSpec] | None:
        """Returns the columns with sampled tokenizations, if a tokenizer samples."""
        columns = self.columns("train")
        encoders = {
            "source": self.tokenizer.source.for_training(seed, epoch),
            "target": self.tokenizer.target.for_training(seed, epoch),
        }
        if all(encoders[side] is columns[side].encoder for side in SIDES):
            return None
        for side, encoder in encoders.items():
            columns[side] = columns[side]._replace(encoder=encoder)
            if self.is_guided:
                words = columns[f"{side}_words"]
                columns[f"{side}_words"] = words._replace(encoder=WordNumbers(encoder))
        return columns

    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns the target twice: after the start token as an input, and as labels."""
        source, source_length = store.padded("source", rows)
        target, labels, weights = teacher_forced(*store.padded("target", rows))
        inputs = {"source": source, "source_length": source_length, "target": target}
        if self.is_guided:
            inputs["reference_alignments"] = _reference_alignments(store, rows)
        return inputs, labels, weights

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns source and target of each row, as decoded from their ids."""
        sources = self.tokenizer.source.decode(inputs["source"])
        targets = self.tokenizer.target.decode(labels)
        return [" -> ".join(pair) for pair in zip(sources, targets, strict=True)]

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of target tokens, end tokens included."""
        return int(store.lengths[rows, 1].sum()) + len(rows)

    @property
    def example_arguments(self) -> dict[str, Any]:
        """Two small vocabularies."""
        return {"source_vocabulary_size": 5, "target_vocabulary_size": 5}

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of both vocabularies."""
        return {
            "source_vocabulary_size": self.tokenizer.source.size,
            "target_vocabulary_size": self.tokenizer.target.size,
        }

    def input_vocabulary(self) -> InputVocabulary:
        """Returns the source vocabulary."""
        return InputVocabulary.of(self.tokenizer.source)

    def vocabularies(self) -> dict[str, Vocabulary]:
        """Returns the vocabularies of both sides."""
        return {side: TokenizerVocabulary(getattr(self.tokenizer, side)) for side in SIDES}

    def save(self, folder: Path) -> None:
        """Writes the tokenizers and the lexical table, which searches with a shortlist need."""
        (folder / "tokenizer").mkdir()
        self.tokenizer.save(folder / "tokenizer")
        if self.lexical_table is None and "train" in self.stores:
            self._learn_lexical_table()
        if self.lexical_table is not None:
            self.lexical_table.save(folder / LEXICAL_TABLE)

    def load(self, folder: Path) -> None:
        """Reads the tokenizers, and the lexical table, which runs of older versions lack."""
        self.tokenizer = TokenizerPair.load(folder / "tokenizer")
        if (folder / LEXICAL_TABLE).exists():
            sizes = self.tokenizer.source.size, self.tokenizer.target.size
            self.lexical_table = LexicalTable.load(folder / LEXICAL_TABLE, sizes)


def _reference_alignments(store: TokenStore, rows: np.ndarray) -> np.ndarray:
    """Returns the alignments of a batch, `(batch, target_length + 1, source_length)`.

    The end token is aligned with nothing. A split without alignments has none, `(batch, 0, 0)`.
    """
    if "alignment" not in store.columns:
        return np.zeros((len(rows), 0, 0), np.float32)
    columns = ("alignment", "source_words", "target_words")
    aligned = token_alignments(*(store.padded(column, rows) for column in columns))
    return np.pad(aligned, ((0, 0), (0, 1), (0, 0)))
