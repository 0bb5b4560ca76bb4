"""Evaluation of language models: perplexity and its kin, and sample continuations."""

import logging
import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from seq2seq.data.records import Record
from seq2seq.data.token_store import RaggedColumn
from seq2seq.data.windows import Windows
from seq2seq.errors import UserError
from seq2seq.models.language_model import LanguageModel
from seq2seq.prediction_rows import TextRow
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.generation.data import GenerationData
from seq2seq.tasks.generation.prediction import continuation
from seq2seq.training.dynamic_evaluation import dynamic_loss
from seq2seq.training.masked_loss_model import MaskedLossModel

log = logging.getLogger(__name__)


class GenerationEvaluation(GenerationData):
    """The evaluation part of `Generation`."""

    samples: int
    prompt_length: int
    dynamic_rate: float

    @property
    def score_names(self) -> Sequence[str]:
        """Scores with the state carried over, from zeros, and by dynamic evaluation."""
        prefixes = ("", "reset_", *(["dynamic_"] if self.dynamic_rate else []))
        names = ("nats_per_character", "bits_per_character", "perplexity")
        return [prefix + name for prefix in prefixes for name in names]

    def evaluate(self, model: LanguageModel, records: Iterable[Record]) -> Evaluation:
        """Measures how well documents are predicted, and continues them from some places.

        Scores are `nats_per_character`, `bits_per_character` and `perplexity` (of a token, end
        tokens included), with the state carried over each document; as `reset_...` with a state of
        zeros at the start of each window; and, with a `dynamic_rate`, as `dynamic_...` with weights
        that are trained on each window after it is measured. Scores by character can be compared
        between tokenizers, as long as no token is unknown.
        """
        texts = [record["text"] for record in records]
        ids = self.tokenizer.encode(texts)
        offsets = np.cumsum([0, *map(len, ids)])
        column = RaggedColumn(offsets, np.concatenate(ids))
        predictions, characters = int(offsets[-1]) + len(ids), sum(map(len, texts))
        lengths = np.diff(offsets)
        order = np.arange(len(lengths))
        read = partial(self.batching.read, column)
        carried = self.dataset(read, self.batching.evaluation_batches(lengths))
        from_zeros = self.dataset(read, self.batching.batches(lengths, order, carry=False))
        nats = {
            "": self._mean_loss(model, carried),
            "reset_": self._mean_loss(model, from_zeros),
        }
        if self.dynamic_rate:
            log.info("dynamic evaluation: %s tokens, window by window", f"{len(column.tokens):,}")
            in_order = Windows(batch_size=1, length=self.batching.length)  # no text is read early
            data = self.dataset(partial(in_order.read, column), in_order.batches(lengths, order))
            nats["dynamic_"] = dynamic_loss(model.loss_model, self.loss, self.dynamic_rate, data)
        scores = {}
        for prefix, mean in nats.items():
            per_character = mean * predictions / characters
            scores[f"{prefix}nats_per_character"] = per_character
            scores[f"{prefix}bits_per_character"] = per_character / math.log(2)
            scores[f"{prefix}perplexity"] = float(np.exp(mean))
        return Evaluation(self._samples(model, column), scores)

    def _mean_loss(self, model: LanguageModel, data: tf.data.Dataset) -> float:
        weighted = MaskedLossModel(model.loss_model.input, model.loss_model.output, self.loss)
        weighted.compile(jit_compile=False)
        return float(weighted.evaluate(data, return_dict=True, verbose=0)["loss"])

    def _samples(self, model: LanguageModel, column: RaggedColumn) -> list[TextRow]:
        """Continues the documents from places all over them."""
        places = np.linspace(0, len(column.tokens), self.samples, endpoint=False).astype(int)
        prompts, references = [], []
        for place in places:
            document = np.searchsorted(column.offsets, place, side="right") - 1
            begin, end = column.offsets[document : document + 2]
            first = max(min(place, end - 2 * self.prompt_length), begin)
            middle = min(first + self.prompt_length, first + (end - first + 1) // 2)
            last = min(middle + self.prompt_length, end)
            prompt, following = column.tokens[first:middle], column.tokens[middle:last]
            prompts.append(self.tokenizer.decode([prompt])[0])
            references.append(continuation(self.tokenizer, prompt, following))
        rows = self.predict(model, prompts)
        for row, reference in zip(rows, references, strict=True):
            row["reference"] = reference
        return rows


def checked_rate(rate: float, key: str) -> float:
    """Returns a learning rate of dynamic evaluation, or raises a `UserError` that names its key."""
    if rate < 0:
        raise UserError(f"{key}={rate} is below 0.")
    return rate
