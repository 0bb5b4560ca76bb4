"""The data of generation: token ids of documents, in windows that continue each other."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.tokenizer import END, Tokenizer
from seq2seq.data.windows import Windows
from seq2seq.models.language_model import LanguageModel
from seq2seq.prediction_rows import TextRow
from seq2seq.tasks.base import Task
from seq2seq.tasks.observation import InputVocabulary
from seq2seq.tasks.task_data import Batch
from seq2seq.tasks.vocabularies import TokenizerVocabulary, Vocabulary

log = logging.getLogger(__name__)


class GenerationData(Task[LanguageModel, TextRow]):
    """The data part of `Generation`."""

    tokenizer: Tokenizer
    batching: Windows
    sorted_by = ("text",)

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the tokenizer."""
        self.tokenizer.fit_once(
            data.fingerprint("train"),
            lambda: (record["text"] for record in data.records("train")),
        )
        log.info("vocabulary: %s", f"{self.tokenizer.size:,}")

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns the token ids of the documents."""
        return {"text": ColumnSpec("text", self.tokenizer)}

    def describe_store(self, store: TokenStore) -> str:
        """Returns the number of tokens, and the share of unknown ones."""
        return f"; {len(store.columns['text'].tokens):,} tokens{super().describe_store(store)}"

    def describe_batches(self) -> str:
        """Returns nothing: windows have hardly any padding."""
        return ""

    def lengths(self, store: TokenStore) -> np.ndarray:
        """Returns the tokens of each document, `(documents,)`."""
        return store.lengths[:, 0]

    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns windows of documents; `rows` are the columns of `Window`."""
        return self.batching.read(store.columns["text"], rows)

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns the last token before each window, and its predictions, as decoded from ids."""
        before = self.tokenizer.decode(inputs["tokens"][:, :1])
        return [
            " -> ".join(pair) for pair in zip(before, self.tokenizer.decode(labels), strict=True)
        ]

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of predicted tokens, end tokens included."""
        return self.batching.count(self.lengths(store), rows)

    @property
    def example_arguments(self) -> dict[str, Any]:
        """A small vocabulary and batch."""
        return {"vocabulary_size": 5, "batch_size": 2}

    def model_arguments(self) -> dict[str, Any]:
        """Returns the size of the vocabulary, and the number of rows that carry a state."""
        return {"vocabulary_size": self.tokenizer.size, "batch_size": self.batching.batch_size}

    def initialize(self, model: LanguageModel) -> None:
        """Sets the bias of the output layer to the logarithms of token frequencies.

        Otherwise the first epochs are spent on learning them; ids that never occur, such as most of
        the 256 bytes that a tokenizer falls back on, slow them down further.
        """
        if model.output_layer is None:  # tied: no bias
            return
        column = self.stores["train"].columns["text"]
        counts = np.bincount(column.tokens, minlength=self.tokenizer.size) + 1.0
        counts[END] += len(column.offsets) - 1
        model.output_layer.bias.assign(np.log(counts / counts.sum()))

    def input_vocabulary(self) -> InputVocabulary:
        """Returns the vocabulary."""
        return InputVocabulary.of(self.tokenizer)

    def vocabularies(self) -> dict[str, Vocabulary]:
        """Returns the vocabulary."""
        return {"text": TokenizerVocabulary(self.tokenizer)}

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self.tokenizer.save(folder / "tokenizer.json")

    def load(self, folder: Path) -> None:
        """Reads the tokenizer."""
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json")
