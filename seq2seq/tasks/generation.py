"""Generation: a stream in, the same stream one step later out."""

import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from seq2seq.data.batching import batch_dataset
from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record
from seq2seq.data.token_store import ColumnSpec, RaggedColumn, TokenStore, report_shared_inputs
from seq2seq.data.tokenizers.tokenizer import END, START, UNKNOWN, Tokenizer
from seq2seq.data.windows import Windows
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.models.language_model import LanguageModel
from seq2seq.tasks.base import Evaluation, Row, Task
from seq2seq.tasks.inputs import record_of
from seq2seq.tasks.padding import by_length, padded
from seq2seq.training.dynamic_evaluation import dynamic_loss
from seq2seq.training.feed import EpochFeed
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.weighted_model import WeightedModel

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


class Generation(Task):
    """Learns from documents (records with `text`) to go on with a text.

    Args:
        tokenizer: Cuts texts into tokens: words, characters or subwords.
        batching: The windows that documents are read in.
        decoding: How texts are gone on with.
        samples: How many places of a split's documents are gone on from, to look at.
        prompt_length: The tokens of the document that are read before.
        dynamic_rate: The learning rate of dynamic evaluation, see `DynamicModel`; 0 leaves it out.

    Raises:
        UserError: If an argument is impossible.
    """

    example_arguments: ClassVar[dict[str, Any]] = {"vocabulary_size": 5, "batch_size": 2}

    signature: ClassVar[Any] = (
        {
            "tokens": tf.TensorSpec((None, None), tf.int32),
            "reset": tf.TensorSpec((None,), tf.bool),
        },
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None, None), tf.float32),
    )

    def __init__(
        self,
        tokenizer: Tokenizer,
        batching: Windows,
        decoding: Strategy,
        samples: int = 8,
        prompt_length: int = 64,
        dynamic_rate: float = 0.0,
    ) -> None:
        for name, value in {"samples": samples, "prompt_length": prompt_length}.items():
            if value < 1:
                raise UserError(f"task.{name}={value} is below 1.")
        self.tokenizer, self.batching, self.decoding = tokenizer, batching, decoding
        self.samples, self.prompt_length = samples, prompt_length
        self.dynamic_rate = checked_rate(dynamic_rate, "task.dynamic_rate")
        self.loss = TokenCrossEntropy()
        self.stores: dict[str, TokenStore] = {}
        self._search: tuple[LanguageModel, Any] | None = None

    def prepare(self, data: Dataset, seed: int) -> None:
        """Fits the tokenizer on `train`, tokenises all splits and plans the batches."""
        content = {split: data.fingerprint(split) for split in SPLITS}  # all must be there
        self.tokenizer.fit(record["text"] for record in data.records("train"))
        log.info("vocabulary: %s", f"{self.tokenizer.size:,}")
        for split in SPLITS:
            self.stores[split] = self._stored(data, split)
        report_shared_inputs(self.stores)
        self.identity = json.dumps(
            [content["train"], self.tokenizer.fingerprint, seed, vars(self.batching)]
        )
        train = self.stores["train"]
        lengths = train.lengths[:, 0]

        def plan(epoch: int) -> list[np.ndarray]:
            return self.batching.training_batches(lengths, train.hashes, seed, epoch)

        self.feed = EpochFeed(plan, lambda batch: self.batching.count(lengths, batch))
        self.feed.begin(epoch=0, first_step=0)
        log.info("%d batches an epoch", len(self.feed))

    def _stored(self, data: Dataset, split: str) -> TokenStore:
        columns = {"text": ColumnSpec("text", self.tokenizer)}
        store = TokenStore.cached(data.fingerprint(split), lambda: data.records(split), columns)
        tokens = np.asarray(store.columns["text"].tokens)
        unknown = 100 * np.mean(tokens == UNKNOWN)
        log.info(
            "%s: %s; %s tokens, %.2f %% unknown", split, store.report, f"{len(tokens):,}", unknown
        )
        return store

    def model_arguments(self) -> dict[str, Any]:
        """Returns the size of the vocabulary, and how many rows carry a state."""
        return {
            "vocabulary_size": self.tokenizer.size,
            "batch_size": self.batching.batch_size,
        }

    def initialize(self, model: LanguageModel) -> None:
        """Lets the output layer begin with what is known without any context: token frequencies.

        Otherwise the first epochs are spent on it; ids that never occur, such as most of the 256
        bytes that a tokenizer falls back on, slow them down further.
        """
        if model.output_layer is None:  # tied: no bias
            return
        column = self.stores["train"].columns["text"]
        counts = np.bincount(column.tokens, minlength=self.tokenizer.size) + 1.0
        counts[END] += len(column.offsets) - 1
        model.output_layer.bias.assign(np.log(counts / counts.sum()))

    def training_data(self) -> tf.data.Dataset:
        """Returns the rest of the feed's epoch."""
        return self._dataset(self.stores["train"].columns["text"], list(self.feed))

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns each document of a split once, the state carried from its start to its end."""
        return self._carried(self.stores[split].columns["text"])

    def _carried(self, column: RaggedColumn) -> tf.data.Dataset:
        return self._dataset(column, self.batching.whole_documents(np.diff(column.offsets)))

    def _from_zeros(self, column: RaggedColumn) -> tf.data.Dataset:
        lengths = np.diff(column.offsets)
        order = np.arange(len(lengths))
        return self._dataset(column, self.batching.batches(lengths, order, carry=False))

    def _dataset(self, column: RaggedColumn, batches: list[np.ndarray]) -> tf.data.Dataset:
        return batch_dataset(
            lambda batch: self.batching.read(column, batch), batches, self.signature
        )

    def predict(
        self, model: LanguageModel, texts: Sequence[str], batch_size: int = 64
    ) -> list[Row]:
        """Goes on with texts.

        Args:
            model: The model.
            texts: The beginnings; an empty one is gone on with, too.
            batch_size: How many are gone on with at once; they are sorted by length before.

        Returns:
            Rows with `source`, `prediction` (what follows) and `score`, its log-probability; and,
            where the search was asked for several, all `hypotheses`.
        """
        search = self._compiled(model)
        rows: list[Row] = [
            {"source": record_of(text, number, "source")["source"]}
            for number, text in enumerate(texts, start=1)
        ]
        texts = [row["source"] for row in rows]
        ids = [np.append(START, each) for each in self.tokenizer.encode(texts)]
        for chosen in by_length(range(len(ids)), ids, batch_size):
            tokens, lengths = padded([ids[i] for i in chosen])
            found = search(tokens, lengths, np.array(chosen, np.int32))
            for number, i in enumerate(chosen):
                rows[i].update(
                    self._written(
                        ids[i],
                        Hypotheses(
                            *(None if part is None else part[number].numpy() for part in found)
                        ),
                    )
                )
        return rows

    def _written(self, prompt: np.ndarray, found: Hypotheses) -> Row:
        """Returns the row of one prompt."""
        several = [
            {
                "prediction": continuation(self.tokenizer, prompt, tokens[:length]),
                "score": float(score),
            }
            for tokens, length, score in zip(
                np.atleast_2d(found.tokens),
                np.atleast_1d(found.lengths),
                np.atleast_1d(found.scores),
                strict=True,
            )
            if score > -np.inf
        ]
        return several[0] | ({"hypotheses": several} if np.ndim(found.scores) else {})

    def features(
        self, model: LanguageModel, inputs: Sequence[str], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the states in which texts leave the model, by `source.layer_0.forward.h` etc."""
        texts = [record_of(each, n, "source")["source"] for n, each in enumerate(inputs, start=1)]
        ids = [np.append(START, each) for each in self.tokenizer.encode(texts)]
        spec = model.stack.spec
        vectors = {
            (layer, field): np.zeros((len(ids), spec.units), np.float32)
            for layer in range(spec.layers)
            for field in spec.fields
        }
        for chosen in by_length(range(len(ids)), ids, batch_size):
            tokens, lengths = map(tf.constant, padded([ids[i] for i in chosen]))
            states = model.initial_states(len(chosen))
            read = {"tokens": tokens, "length": lengths, "states": states}
            after = model.step_model(read)["states"]
            for (layer, field), values in vectors.items():
                values[chosen] = after[layer][field]
        return {
            f"source.layer_{layer}.forward.{field}": values
            for (layer, field), values in vectors.items()
        }

    def _compiled(self, model: LanguageModel) -> Any:
        """Returns the search as one graph, traced once for each model."""
        if self._search is None or self._search[0] is not model:
            self._search = (model, compile_search(model, self.decoding))
        return self._search[1]

    @property
    def score_names(self) -> Sequence[str]:
        """What is measured with the state carried, from zeros, and by dynamic evaluation."""
        measured = ("", "reset_", *(["dynamic_"] if self.dynamic_rate else []))
        names = ("nats_per_character", "bits_per_character", "perplexity")
        return [prefix + name for prefix in measured for name in names]

    def evaluate(self, model: LanguageModel, records: Iterable[Record]) -> Evaluation:
        """Measures how well documents are predicted, and goes on from some of their places.

        Scores are `nats_per_character`, `bits_per_character` and `perplexity` (of a token, end
        tokens included), with the state carried on over each document; as `reset_...` with a state
        of zeros at the start of each window; and, where there is a `dynamic_rate`, as `dynamic_...`
        with weights that go on learning from each window once it is measured. What is counted in
        characters can be compared between tokenizers, as long as no token is unknown.
        """
        texts = [record["text"] for record in records]
        ids = self.tokenizer.encode(texts)
        offsets = np.cumsum([0, *map(len, ids)])
        column = RaggedColumn(offsets, np.concatenate(ids))
        predictions, characters = int(offsets[-1]) + len(ids), sum(map(len, texts))
        measured = {
            "": self._mean_loss(model, self._carried(column)),
            "reset_": self._mean_loss(model, self._from_zeros(column)),
        }
        if self.dynamic_rate:
            measured["dynamic_"] = self._dynamic_loss(model, column)
        scores = {}
        for prefix, nats in measured.items():
            per_character = nats * predictions / characters
            scores[f"{prefix}nats_per_character"] = per_character
            scores[f"{prefix}bits_per_character"] = per_character / math.log(2)
            scores[f"{prefix}perplexity"] = float(np.exp(nats))
        return Evaluation(self._continued(model, column), scores)

    def _mean_loss(self, model: LanguageModel, data: tf.data.Dataset) -> float:
        measured = WeightedModel(model.loss_model.input, model.loss_model.output, self.loss)
        measured.compile(jit_compile=False)
        return float(measured.evaluate(data, return_dict=True, verbose=0)["loss"])

    def _dynamic_loss(self, model: LanguageModel, column: RaggedColumn) -> float:
        log.info("dynamic evaluation: %s tokens, window by window", f"{len(column.tokens):,}")
        in_order = Windows(batch_size=1, length=self.batching.length)  # nothing is read too early
        lengths = np.diff(column.offsets)
        data = self._dataset(column, in_order.batches(lengths, np.arange(len(lengths))))
        return dynamic_loss(model.loss_model, self.loss, self.dynamic_rate, data)

    def _continued(self, model: LanguageModel, column: RaggedColumn) -> list[Row]:
        """Goes on from places all over some documents."""
        places = np.linspace(0, len(column.tokens), self.samples, endpoint=False).astype(int)
        prompts, references = [], []
        for place in places:
            document = np.searchsorted(column.offsets, place, side="right") - 1
            begin, end = column.offsets[document : document + 2]
            first = max(min(place, end - 2 * self.prompt_length), begin)
            middle = min(first + self.prompt_length, first + (end - first + 1) // 2)
            last = min(middle + self.prompt_length, end)
            prompts.append(self.tokenizer.decode([column.tokens[first:middle]])[0])
            references.append(
                continuation(
                    self.tokenizer, column.tokens[first:middle], column.tokens[middle:last]
                )
            )
        rows = self.predict(model, prompts)
        for row, reference in zip(rows, references, strict=True):
            row["reference"] = reference
        return rows

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self.tokenizer.save(folder / "tokenizer.json")

    def load(self, folder: Path) -> None:
        """Reads the tokenizer."""
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json")


def checked_rate(rate: float, key: str) -> float:
    """Returns a learning rate of dynamic evaluation, or raises a `UserError` that names its key."""
    if rate < 0:
        raise UserError(f"{key}={rate} is below 0.")
    return rate


def continuation(
    tokenizer: Tokenizer, before: Sequence[int] | np.ndarray, tokens: Sequence[int] | np.ndarray
) -> str:
    """Returns the text of tokens that follow others, with the space between them, if any."""
    context = list(before)[-4:]  # a character is four bytes at most
    known, whole = tokenizer.decode([context, [*context, *tokens]])
    return whole[len(known) :]


def compile_search(model: LanguageModel, decoding: Strategy) -> Any:
    """Puts reading and search into one graph, for any batch size and length.

    Args:
        model: The model.
        decoding: The search.

    Returns:
        A function of token ids `(batch, steps)`, start token included, lengths `(batch,)` and keys
        `(batch,)`, which tell sampling the rows apart.
    """

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
        ],
        autograph=False,
    )
    def search(tokens: tf.Tensor, lengths: tf.Tensor, keys: tf.Tensor) -> Hypotheses:
        last, states = model.read(tokens, lengths)
        return decoding(model.step, states, lengths, last, END, keys=keys)

    return search
